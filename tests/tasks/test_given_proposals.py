"""Ready-made proposals keep their objects however they are stored, and what is dropped or read otherwise is told."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from motion_adapt.storage.clips.find_clips import find_clips
from motion_adapt.storage.clips.videos import content_digest
from motion_adapt.storage.formats.label_rules import davis_palette
from motion_adapt.storage.formats.masks import masks_content
from motion_adapt.tasks.frames import decode
from motion_adapt.tasks.proposal import take_proposals
from motion_adapt.tasks.runtime.place import Place
from tests.storage.media import save_frames

NAMES = ("0", "1")
COLOURS = np.array([(0, 0, 0), (250, 50, 83), (51, 221, 255), (9, 9, 200), (0, 90, 0), (7, 7, 7)], np.uint8)
Encode = Callable[[np.ndarray], Image.Image]


def labels(*present: int) -> np.ndarray:
    """Objects 1, 2, 3 and 5, those of them that are asked for."""
    made = np.zeros((128, 224), np.uint8)
    made[10:50, 10:60], made[60:100, 80:130], made[10:50, 150:200], made[70:120, 150:180] = 1, 2, 3, 5
    return np.where(np.isin(made, present), made, 0).astype(np.uint8)


def indexed(values: np.ndarray) -> Image.Image:
    image = Image.fromarray(values)
    image.putpalette(davis_palette().tobytes())
    return image


def taken(root: Path, encode: Encode, present: tuple[int, ...]) -> tuple[np.ndarray, list[str]]:
    """The proposals bool (T, K, 128, 224) that the stage makes, and its warnings."""
    place = Place(store=str(root / "store"), scratch=str(root / "scratch"), threads=1, label="walk")
    save_frames(root / "walk", [f"{name}.png" for name in NAMES], height=128, width=224)
    (clip,) = find_clips(root / "walk").clips
    (root / "masks" / "walk").mkdir(parents=True)
    for name in NAMES:
        encode(labels(*present)).save(root / "masks" / "walk" / f"{name}.png")
    frames = decode.make(content=content_digest(clip), limit=None, clip=clip, place=place)
    made = take_proposals.make(
        frames,
        content=masks_content(root / "masks", "walk", NAMES),
        objects=3,
        background="black",
        folder=str(root / "masks"),
        names=NAMES,
        place=place,
    )
    reader = place.open().open(made)
    return reader.array("masks")[:], reader.manifest.made["warnings"]


ENCODINGS: dict[str, tuple[Encode, str]] = {
    "indices": (indexed, ""),
    "16 bits": (lambda values: Image.fromarray(values.astype(np.uint16)), ""),
    "colours": (lambda values: Image.fromarray(COLOURS[values]), "has the colours (250, 50, 83)"),
    "grey levels": (
        lambda values: Image.fromarray(values * np.uint8(60)),
        "has the grey levels 60, 120, 180",
    ),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_objects_are_kept(tmp_path: Path, encoding: str) -> None:
    encode, told = ENCODINGS[encoding]
    masks, warnings = taken(tmp_path, encode, (1, 2, 3))
    order = [0, 2, 1] if encoding == "colours" else [0, 1, 2]  # object 3 comes before 2, line by line
    for index, channel in enumerate(order):
        np.testing.assert_array_equal(masks[0, channel], labels(1, 2, 3) == index + 1)
    assert [text.startswith(f"proposals of walk: 0.png {told}") for text in warnings] == [True] * bool(told)


def test_white_masks_with_the_palette_of_davis_are_no_void(tmp_path: Path) -> None:
    masks, warnings = taken(tmp_path, lambda values: indexed((values > 0) * np.uint8(255)), (1, 2))
    np.testing.assert_array_equal(masks[1, 0], labels(1, 2) > 0)
    assert not masks[:, 1:].any() and not warnings


def test_labels_beyond_the_networks_are_dropped_and_told(tmp_path: Path) -> None:
    masks, warnings = taken(tmp_path, indexed, (1, 2, 3, 5))
    assert masks[0].sum() == (labels(1, 2, 3) > 0).sum()
    assert warnings == ["proposals of walk: labels 5 are dropped: objects=3 keeps 1 to 3"]
