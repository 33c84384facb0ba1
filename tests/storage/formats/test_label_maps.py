"""One decoder for every mask that comes in: ids are read exactly, or what was done is told, or the file is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from motion_adapt.storage.formats import label_maps
from motion_adapt.storage.formats.images import PictureError
from motion_adapt.storage.formats.label_maps import ClipMasks
from motion_adapt.storage.formats.label_rules import davis_palette
from tests.storage.formats.kinds_of_masks import (
    BLACK,
    BLUE,
    PURPLE,
    RED,
    WHITE,
    Make,
    coloured,
    indexed,
    levels,
    read,
    shuffled,
    soft,
    truth,
    with_alpha,
)

EXACT: dict[str, Make] = {
    "indices": indexed,
    "indices of a grey palette": lambda labels: indexed(labels, np.arange(256)[:, None].repeat(3, axis=1)),
    "greys that are ids": levels(0, 1, 2),
    "16 bits": levels(0, 1, 2, dtype=np.uint16),
    "DAVIS colours": coloured(*map(tuple, davis_palette()[:3].tolist())),
    "RGB that repeats ids": coloured(BLACK, (1, 1, 1), (2, 2, 2)),
}


@pytest.mark.parametrize("kind", EXACT)
def test_ids_are_read_exactly(tmp_path: Path, kind: str) -> None:
    maps, told = read(tmp_path, EXACT[kind])
    for index, labels in enumerate(maps):
        np.testing.assert_array_equal(labels, truth(index))
    assert not told


# How objects are told apart that no id names; in order of first appearance object 2 becomes label 1.
BY_VALUE: dict[str, tuple[Make, str]] = {
    "colours": (
        coloured(BLACK, RED, BLUE),
        "has the colours (51, 221, 255), (250, 50, 83); the clip's are taken as",
    ),
    "colours, opaque": (with_alpha(coloured(BLACK, RED, BLUE), levels(255, 255, 255)), "colours"),
    "colours on what is transparent": (
        with_alpha(coloured(WHITE, RED, BLUE), levels(0, 255, 255)),
        "colours",
    ),
    "colours, transparent throughout": (with_alpha(coloured(BLACK, RED, BLUE), levels(0, 0, 0)), "colours"),
    "an id in the red channel": (coloured(BLACK, (1, 0, 0), (2, 0, 0)), "colours"),
    "a palette in another order": (shuffled, "colours"),
    "grey levels": (
        levels(0, 120, 240),
        "has the grey levels 240, 120; the clip's are taken as objects 1 to 2",
    ),
    "grey RGB": (coloured(BLACK, (100,) * 3, (200,) * 3), "has the grey levels 200, 100"),
    "16 bits beyond a map's": (levels(0, 300, 1001, dtype=np.uint16), "has the values 1001, 300"),
}


@pytest.mark.parametrize("kind", BY_VALUE)
def test_objects_without_ids_are_told_apart_the_same_in_all_frames(tmp_path: Path, kind: str) -> None:
    make, words = BY_VALUE[kind]
    maps, told = read(tmp_path, make)
    for index, labels in enumerate(maps):
        np.testing.assert_array_equal(labels, np.array([0, 2, 1])[truth(index)])
    assert words in told and told.endswith("in order of first appearance")


TWO_VALUED: dict[str, Make] = {
    "0 and 255": levels(0, 255, 255),
    "0 and 1": levels(0, 1, 1),
    "0 and 255, DAVIS palette": lambda labels: indexed((labels > 0) * 255),
    "0 and 65535": levels(0, 65535, 65535, dtype=np.uint16),
    "1 bit": lambda labels: Image.fromarray(labels > 0),
    "white": coloured(BLACK, WHITE, WHITE),
    "one colour": coloured(BLACK, RED, RED),
    "opacity, black": with_alpha(coloured(BLACK, BLACK, BLACK), levels(0, 255, 255)),
    "opacity, white": with_alpha(coloured(WHITE, WHITE, WHITE), levels(0, 255, 255)),
    "grey and opacity": lambda labels: with_alpha(levels(255, 255, 255), levels(0, 255, 255))(labels).convert(
        "LA"
    ),
}


@pytest.mark.parametrize("kind", TWO_VALUED)
def test_two_values_are_one_object(tmp_path: Path, kind: str) -> None:
    maps, told = read(tmp_path, TWO_VALUED[kind])
    for index, labels in enumerate(maps):
        np.testing.assert_array_equal(labels, truth(index) > 0)
    assert not told


@pytest.mark.parametrize(
    ("make", "suffix"),
    [
        (soft(255, np.uint8), ".png"),
        (soft(255, np.uint8, low=0.1), ".png"),
        (soft(65535, np.uint16), ".png"),
        (lambda labels: soft(255, np.uint8)(labels).convert("RGB"), ".png"),
        (levels(25, 230, 230), ".png"),  # no value is the background's
        (levels(0, 255, 255), ".jpg"),
        (coloured(BLACK, WHITE, WHITE), ".jpg"),
    ],
)
def test_smooth_edges_and_probabilities_are_cut_at_half_with_a_warning(
    tmp_path: Path, make: Make, suffix: str
) -> None:
    maps, told = read(tmp_path, make, suffix=suffix)
    for index, labels in enumerate(maps):
        wanted = truth(index) > 0
        assert set(np.unique(labels)) == {0, 1}
        assert (wanted & (labels > 0)).sum() / (wanted | (labels > 0)).sum() > 0.93
    assert told == "has grey levels between background and object; what exceeds half is the object"


@pytest.mark.parametrize("make", [indexed, levels(0, 1, 2)])
def test_255_is_void_beside_ids_and_the_object_alone(tmp_path: Path, make: Make) -> None:
    def bordered(labels: np.ndarray) -> np.ndarray:
        return np.where(cv2.dilate(labels, np.ones((3, 3))) != labels, 255, labels).astype(np.uint8)

    mode = np.array(make(truth(1)))
    np.testing.assert_array_equal(mode, truth(1))
    maps, told = read(
        tmp_path,
        lambda labels: indexed(bordered(labels)) if make is indexed else Image.fromarray(bordered(labels)),
    )
    assert all(set(np.unique(labels)) <= {0, 1, 2, 255} and 255 in labels for labels in maps) and not told


def test_another_background_only_if_it_is_said(tmp_path: Path) -> None:
    make = coloured(PURPLE, BLACK, BLUE)
    maps, told = read(tmp_path, make, background="border")
    for index, labels in enumerate(maps):
        np.testing.assert_array_equal(labels, np.array([0, 2, 1])[truth(index)])
    assert "has the background (128, 0, 128)" in told
    maps, told = read(tmp_path, levels(255, 0, 0), background="border")  # black on white
    np.testing.assert_array_equal(maps[0], truth(0) > 0)
    maps, told = read(tmp_path, indexed, background="border")  # ids are ids
    np.testing.assert_array_equal(maps[1], truth(1))
    with pytest.raises(PictureError, match=r"none of which has a black pixel.* mask_background=border"):
        read(tmp_path, coloured(PURPLE, RED, BLUE))


def blurred_colours(labels: np.ndarray) -> Image.Image:
    return Image.fromarray(cv2.GaussianBlur(np.array(coloured(BLACK, RED, BLUE)(labels)), (3, 3), 1))


def outlined_in_a_blend(labels: np.ndarray) -> Image.Image:
    edge = (cv2.dilate(labels, np.ones((3, 3))) > 0) & (labels == 0)
    colours = np.array([BLACK, RED, BLUE, tuple(value // 2 for value in RED)], np.uint8)
    return Image.fromarray(colours[np.where(edge, 3, labels)])


@pytest.mark.parametrize(
    ("make", "suffix", "words"),
    [
        (outlined_in_a_blend, ".png", r"have 3 colours: an object wants one flat colour"),
        (blurred_colours, ".png", r"have \d+ colours: an object wants one flat colour; store them .* as PNG"),
        (
            coloured(BLACK, RED, BLUE),
            ".jpg",
            r"with loss \(JPEG\), which changes colours; save it as indexed PNG",
        ),
        (
            soft(100, np.uint8),
            ".png",
            r"grey levels go up to 99 of 255: neither labels \(1 to 20\) nor .* indexed PNG",
        ),
        (
            lambda labels: Image.fromarray(labels.astype(np.float32)),
            ".tif",
            "pictures of mode F hold no labels",
        ),
        (
            lambda labels: Image.fromarray(labels).convert("CMYK"),
            ".tif",
            "pictures of mode CMYK hold no labels",
        ),
        (lambda labels: Image.fromarray(labels.astype(np.int32) - 1), ".tif", "numbers beyond 16 bits"),
    ],
)
def test_what_fits_no_rule_is_refused_with_what_was_found_and_what_is_wanted(
    tmp_path: Path, make: Make, suffix: str, words: str
) -> None:
    with pytest.raises(PictureError, match=words):
        read(tmp_path, make, suffix=suffix)


def test_one_mask_that_is_stored_otherwise_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    kinds = iter([indexed, coloured(BLACK, RED, BLUE), indexed])
    with pytest.raises(PictureError, match="other masks of the clip are stored otherwise; store all alike"):
        read(tmp_path, lambda labels: next(kinds)(labels))
    paths = sorted(tmp_path.glob("*.png"))
    np.testing.assert_array_equal(ClipMasks(paths).read(paths[2]), truth(2))


def test_masks_of_several_kinds_that_agree_are_read(tmp_path: Path) -> None:
    kinds = iter([levels(0, 1, 2), indexed, coloured(BLACK, BLACK, BLACK)])  # all are ids, or empty
    maps, told = read(tmp_path, lambda labels: next(kinds)(labels))
    np.testing.assert_array_equal(maps[1], truth(1))
    assert not maps[2].any() and not told
    kinds = iter([levels(0, 255, 255), levels(0, 65535, 65535, dtype=np.uint16), levels(0, 255, 255)])
    maps, told = read(tmp_path, lambda labels: next(kinds)(labels))
    assert [set(np.unique(labels)) for labels in maps[:2]] == [{0, 1}, {0, 1}]
    kinds = iter([levels(0, 255, 255), indexed, indexed])
    maps, told = read(tmp_path, lambda labels: next(kinds)(labels))
    np.testing.assert_array_equal(maps[0], truth(0) > 0)
    np.testing.assert_array_equal(maps[1], truth(1))
    assert told == "has one value where other masks of the clip hold labels; it is taken as object 1"


def test_a_damaged_mask_has_no_say_and_is_refused_by_itself(tmp_path: Path) -> None:
    read(tmp_path, coloured(BLACK, RED, BLUE))
    paths = sorted(tmp_path.glob("*.png"))
    paths[0].write_bytes(b"")
    masks = ClipMasks(paths)
    assert set(np.unique(masks.read(paths[1]))) == {0, 1, 2}
    with pytest.raises(PictureError, match="is empty"):
        masks.read(paths[0])


def test_a_mask_that_was_replaced_is_looked_at_anew(tmp_path: Path) -> None:
    masks = ClipMasks([tmp_path / "00000.png"])
    levels(0, 120, 240)(truth(1)).save(masks.paths[0])
    assert masks.read(masks.paths[0]).max() == 2
    indexed(truth(0)).save(masks.paths[0])
    np.testing.assert_array_equal(masks.read(masks.paths[0]), truth(0))


def test_reading_a_clip_asks_each_file_a_fixed_number_of_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    signature = label_maps._signature
    monkeypatch.setattr(label_maps, "_signature", lambda path: (asked.append(path), signature(path))[1])
    masks = ClipMasks([tmp_path / f"{index:05d}.png" for index in range(20)])
    for path in masks.paths:
        indexed(truth(1)).save(path)
    for path in masks.paths:
        masks.read(path)
        assert not masks.notes
    assert len(asked) <= 2 * len(masks.paths)
