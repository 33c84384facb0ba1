"""Masks of any model are scored, and a warning names the clips that the mean leaves out."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from motion_adapt.flows.evaluate import evaluate
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.storage.formats.masks import write_masks

FRAMES = [f"{index:05d}" for index in range(4)]


def masks_in_quarters(folder: Path, clip: str, ids: tuple[int, int, int, int]) -> None:
    quarters = np.kron(np.array(ids, np.uint8).reshape(2, 2), np.ones((16, 16), np.uint8))
    write_masks(folder, clip, FRAMES, [quarters] * len(FRAMES))


def scored(root: Path, **options: object) -> Report:
    report = evaluate.fn(str(root / "masks"), str(root / "truth"), **options)
    assert isinstance(report, Report)
    return report


def test_masks_hold_as_many_objects_as_their_model_finds(tmp_path: Path) -> None:
    masks_in_quarters(tmp_path / "truth", "heron", (0, 0, 0, 1))
    masks_in_quarters(tmp_path / "masks", "heron", (1, 2, 3, 7))
    report = scored(tmp_path)
    assert not report.set_aside
    assert report.clips["heron"]["J_matched"] == 1
    assert scored(tmp_path, protocol="boxes").clips["heron"]["J_matched"] == 1
    masks_in_quarters(tmp_path / "masks", "heron", (1, 2, 3, 21))
    assert "ids up to 20, got 21" in scored(tmp_path).set_aside["heron"]


def test_annotated_clips_without_masks_are_warned_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for clip in ("a", "b", "c", "d", "heron"):
        masks_in_quarters(tmp_path / "truth", clip, (0, 0, 0, 1))
    masks_in_quarters(tmp_path / "masks", "heron", (0, 0, 0, 1))
    (tmp_path / "truth" / "heron" / "00001.png").unlink()
    report = scored(tmp_path)
    missing = "no masks of 4 annotated clips, which do not count in the mean: a, b, c and 1 more"
    frame = "annotations of heron: 00001.png missing; frames without a mask are not scored"
    assert report.warnings == [frame, missing]
    told = capsys.readouterr().err
    assert f"warning {frame}\n" in told and f"warning {missing}\n" in told
    assert scored(tmp_path, clips=["heron"]).warnings == [frame]  # only this clip was requested
    named = scored(tmp_path, data_set="DAVIS2016")
    assert named.warnings == [frame]  # its mean is over other clips


Encode = Callable[[np.ndarray], Image.Image]
COLOURS = np.array([(0, 0, 0), (250, 50, 83), (51, 221, 255), (9, 9, 200)], np.uint8)
# Other tools' ways to store the labels 0 to 3.
ENCODINGS: dict[str, tuple[Encode, str]] = {
    "colours": (lambda labels: Image.fromarray(COLOURS[labels]), "has the colours (250, 50, 83)"),
    "16 bits": (lambda labels: Image.fromarray(labels.astype(np.uint16)), ""),
    "greys": (lambda labels: Image.fromarray(labels * np.uint8(80)), "has the grey levels 80, 160, 240"),
}


def encoded(folder: Path, encode: Encode) -> None:
    """Store all masks of a folder anew."""
    for path in folder.rglob("*.png"):
        with Image.open(path) as image:
            labels = np.array(image)
        encode(labels).save(path)


@pytest.mark.parametrize("side", ["truth", "masks"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_perfect_masks_are_perfect_however_they_are_stored(tmp_path: Path, encoding: str, side: str) -> None:
    for folder in ("truth", "masks"):
        masks_in_quarters(tmp_path / folder, "heron", (0, 1, 2, 3))
    encode, told = ENCODINGS[encoding]
    encoded(tmp_path / side, encode)
    report = scored(tmp_path, protocol="objects")
    assert report.clips["heron"]["J"] == 1
    head = {"truth": "annotations of heron: 00000.png ", "masks": "masks of heron: 00000.png "}[side]
    assert [text for text in report.warnings if text.startswith(head + told)] == report.warnings
    assert len(report.warnings) == bool(told)


def test_probabilities_are_cut_at_half_with_a_warning(tmp_path: Path) -> None:
    for folder in ("truth", "masks"):
        masks_in_quarters(tmp_path / folder, "heron", (0, 0, 0, 1))

    def smooth(labels: np.ndarray) -> Image.Image:
        return Image.fromarray(
            (cv2.GaussianBlur(labels.astype(np.float32), (5, 5), 1) * 255).astype(np.uint8)
        )

    encoded(tmp_path / "masks", smooth)
    report = scored(tmp_path)
    assert report.clips["heron"]["J"] > 0.98
    (told,) = report.warnings
    assert told.startswith("masks of heron: 00000.png has grey levels between background and object")


def test_a_background_in_colour_must_be_said(tmp_path: Path) -> None:
    for folder in ("truth", "masks"):
        masks_in_quarters(tmp_path / folder, "heron", (0, 0, 0, 1))
    shown = np.array([(90, 0, 90), (0, 0, 0), (250, 50, 83), (0, 90, 0)], np.uint8)
    encoded(tmp_path / "truth", lambda labels: Image.fromarray(shown[labels * np.uint8(2)]))
    assert "--background border" in scored(tmp_path, protocol="objects").set_aside["heron"]
    assert scored(tmp_path, protocol="objects", background="border").clips["heron"]["J"] == 1


def test_frames_without_a_mask_count_as_empty_and_are_named(tmp_path: Path) -> None:
    for folder in ("truth", "masks"):
        masks_in_quarters(tmp_path / folder, "heron", (0, 1, 2, 3))
    for name in ("00001", "00003"):
        (tmp_path / "masks" / "heron" / f"{name}.png").unlink()
    report = scored(tmp_path, protocol="objects")
    assert report.clips["heron"]["J"] == pytest.approx(0.5) and report.clips["heron"]["frames"] == 4
    lacking = "2 of 4 annotated frames have no mask (00001, 00003)"
    assert report.warnings == [f"masks of heron: {lacking}, which count as empty"]
    assert scored(tmp_path).clips["heron"]["J"] == pytest.approx(0.5)  # without the first and the last frame
    for path in (tmp_path / "masks" / "heron").iterdir():
        path.rename(path.with_stem(f"frame{path.stem}"))
    assert "masks must be named like the annotations" in scored(tmp_path).set_aside["heron"]


@pytest.mark.parametrize(("data_set", "protocol"), [("DAVIS2016", "single"), ("DAVIS2017-motion", "objects")])
def test_an_official_protocol_refuses_a_clip_that_lacks_a_mask(
    tmp_path: Path, data_set: str, protocol: str
) -> None:
    for clip in ("heron", "dog"):
        for folder in ("truth", "masks"):
            masks_in_quarters(tmp_path / folder, clip, (0, 0, 0, 1))
    (tmp_path / "masks" / "dog" / "00002.png").unlink()
    report = scored(tmp_path, data_set=data_set, protocol=protocol)
    assert report.clips["heron"]["J"] == 1 and list(report.set_aside) == ["dog"]
    told = "1 of 4 annotated frames have no mask (00002); the evaluation of"
    assert report.set_aside["dog"].startswith(f"{told} {data_set} wants a mask of every one")


def test_masks_need_not_be_png(tmp_path: Path) -> None:
    for folder in ("truth", "masks"):
        masks_in_quarters(tmp_path / folder, "heron", (0, 1, 2, 3))
        for path in (tmp_path / folder / "heron").iterdir():
            with Image.open(path) as image:
                image.save(path.with_suffix(".tif" if folder == "truth" else ".bmp"))
            path.unlink()
    report = scored(tmp_path, protocol="objects")
    assert report.clips["heron"]["J"] == 1 and not report.warnings


def test_unmeasured_memory_is_left_out() -> None:
    assert "peak_memory_mb" not in Report("evaluate", "masks").json()
