"""Masks of any model are scored: the annotations decide which clips, frames and objects count."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from motion_adapt.flows.evaluate import evaluate
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.run.errors import RunError
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


def test_the_results_of_a_run_are_scored_by_their_masks(tmp_path: Path) -> None:
    for folder in ("truth", "results/masks"):
        masks_in_quarters(tmp_path / folder, "heron", (0, 0, 0, 1))
    (tmp_path / "results" / "strips").mkdir()
    report = evaluate.fn(str(tmp_path / "results"), str(tmp_path / "truth"))
    assert isinstance(report, Report) and report.clips["heron"]["J"] == 1 and not report.set_aside


def test_masks_that_are_not_there_are_told_as_masks(tmp_path: Path) -> None:
    masks_in_quarters(tmp_path / "truth", "heron", (0, 0, 0, 1))
    with pytest.raises(RunError, match=r"there is no folder .*/masks with masks, one folder per clip"):
        scored(tmp_path)


def test_annotated_clips_without_masks_count_as_empty_and_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for clip in ("a", "b", "c", "d", "heron"):
        masks_in_quarters(tmp_path / "truth", clip, (0, 0, 0, 1))
    masks_in_quarters(tmp_path / "masks", "heron", (0, 0, 0, 1))
    (tmp_path / "truth" / "heron" / "00001.png").unlink()
    report = scored(tmp_path)
    which = "counted as empty (a, b, c and 1 more); --clips leaves clips out"
    missing = f"no masks of 4 annotated clips, {which}"
    frame = "annotations of heron: 00001.png missing; frames without a mask are not scored"
    assert report.warnings == [frame, missing]
    assert report.final["J"] == pytest.approx(0.2) and report.clips["d"]["frames"] == 2
    told = capsys.readouterr().err
    assert f"warning {frame}\n" in told and f"warning {missing}\n" in told
    assert scored(tmp_path, clips=["heron"]).warnings == [frame]  # only this clip was requested
    named = scored(tmp_path, data_set="DAVIS2016", clips=["heron"])
    assert named.warnings == [frame]  # no other clip counts


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
    for clip in ("cows", "dog"):
        for folder in ("truth", "masks"):
            masks_in_quarters(tmp_path / folder, clip, (0, 0, 0, 1))
    (tmp_path / "masks" / "dog" / "00002.png").unlink()
    report = scored(tmp_path, data_set=data_set, protocol=protocol)
    assert report.clips["cows"]["J"] == 1 and list(report.set_aside) == ["dog"]
    told = "1 of 4 annotated frames have no mask (00002); the evaluation of"
    assert report.set_aside["dog"].startswith(f"{told} {data_set} wants a mask of every one")
    no_mean = f"no mean: that of {data_set} is over all its clips, and dog could not be scored"
    assert not report.final and report.warnings[-1] == no_mean


def test_a_benchmarks_clip_without_masks_is_refused_unless_clips_are_named(tmp_path: Path) -> None:
    for clip in ("dog", "cows", "camel"):
        masks_in_quarters(tmp_path / "truth", clip, (0, 0, 0, 1))
    masks_in_quarters(tmp_path / "masks", "dog", (0, 0, 0, 1))
    with pytest.raises(RunError, match=r"no masks of 2 of the 3 annotated clips of DAVIS2016 \(c.*--clips"):
        scored(tmp_path, data_set="DAVIS2016")
    assert scored(tmp_path, data_set="DAVIS2016", clips=["dog"]).final["J"] == 1


def test_a_benchmarks_mean_is_over_its_clips_alone(tmp_path: Path) -> None:
    for clip, found in (("dog", (0, 0, 0, 1)), ("heron", (0, 0, 1, 0))):
        masks_in_quarters(tmp_path / "truth", clip, (0, 0, 0, 1))
        masks_in_quarters(tmp_path / "masks", clip, found)
    report = scored(tmp_path, data_set="DAVIS2016")
    assert list(report.clips) == ["dog"] and report.final["J"] == 1
    others, lacking = report.warnings
    assert others.startswith("not scored: 1 with masks that DAVIS2016 does not evaluate (heron)")
    assert lacking.startswith("19 of the 20 clips that DAVIS2016 evaluates have no annotations")
    assert scored(tmp_path, data_set="DAVIS2016", clips=["dog", "heron"]).final["J"] == 0.5
    with pytest.raises(
        RunError, match=r"none of the clips with masks \(heron\) is one that DAVIS2016 evaluates"
    ):
        (tmp_path / "masks" / "dog").rename(tmp_path / "dog")
        scored(tmp_path, data_set="DAVIS2016")


def test_a_benchmarks_clip_with_masks_and_no_annotations_leaves_no_mean(tmp_path: Path) -> None:
    for clip in ("dog", "cows"):
        masks_in_quarters(tmp_path / "masks", clip, (0, 0, 0, 1))
    masks_in_quarters(tmp_path / "truth", "dog", (0, 0, 0, 1))
    report = scored(tmp_path, data_set="DAVIS2016")
    assert list(report.clips) == ["dog"] and list(report.set_aside) == ["cows"] and not report.final


@pytest.mark.parametrize("protocol", ["single", "objects"])
@pytest.mark.parametrize("data_set", [None, "DAVIS2016"])
def test_extra_masks_change_no_score_and_are_named(
    tmp_path: Path, protocol: str, data_set: str | None
) -> None:
    names = [f"{index:05d}" for index in range(10, 16)]
    shown = [np.pad(np.ones((8, 8), np.uint8), ((8, 0), (index, 24 - index))) for index in range(6)]
    write_masks(tmp_path / "truth", "heron", names, shown)
    write_masks(tmp_path / "masks", "heron", names, [np.roll(mask, 3) for mask in shown])
    wanted = scored(tmp_path, protocol=protocol, data_set=data_set, clips=["heron"])
    assert not wanted.warnings and 0 < wanted.final["J"] < 1
    for name, size in (("00008", 16), ("00009", 5), ("00016", 7)):
        Image.fromarray(np.ones((size, size), np.uint8)).save(tmp_path / "masks" / "heron" / f"{name}.png")
    (tmp_path / "masks" / "heron" / "00017.png").write_bytes(b"damaged")
    report = scored(tmp_path, protocol=protocol, data_set=data_set, clips=["heron"])
    assert report.clips == wanted.clips
    where = "before the first or after the last annotated frame (00008, 00009, 00016 and 1 more)"
    assert report.warnings == [f"masks of heron: 4 extra, {where}; ignored"]


def test_sparse_ids_are_scored_as_the_objects_that_they_are(tmp_path: Path) -> None:
    masks_in_quarters(tmp_path / "truth", "heron", (0, 12, 0, 15))
    masks_in_quarters(tmp_path / "masks", "heron", (0, 0, 0, 0))
    assert scored(tmp_path, protocol="objects").final["J"] == 0
    masks_in_quarters(tmp_path / "masks", "heron", (0, 2, 0, 1))
    assert scored(tmp_path, protocol="objects").final["J"] == 1
    masks_in_quarters(tmp_path / "masks", "heron", (0, 2, 0, 0))
    assert scored(tmp_path, protocol="objects").final["J"] == pytest.approx(0.5)


def test_an_object_that_appears_too_late_to_be_scored_is_named(tmp_path: Path) -> None:
    labels = [
        np.kron(np.array([[0, 1], [0, late]], np.uint8), np.ones((8, 8), np.uint8)) for late in (0, 0, 3, 3)
    ]
    for folder in ("truth", "masks"):
        write_masks(tmp_path / folder, "heron", FRAMES, labels)
    report = scored(tmp_path, protocol="objects")
    assert report.final["J"] == 1
    told = "objects larger than all in the first annotated frame are not scored (3)"
    assert report.warnings == [f"annotations of heron: {told}"]


@pytest.mark.parametrize("suffix", ["bmp", "BMP", "tif", "PNG", "webp"])
def test_annotations_of_mixed_formats_are_read_alike(tmp_path: Path, suffix: str) -> None:
    for folder in ("truth", "masks"):
        masks_in_quarters(tmp_path / folder, "heron", (0, 1, 2, 0))
    for name in FRAMES[2:]:
        path = tmp_path / "truth" / "heron" / f"{name}.png"
        with Image.open(path) as image:
            (image.convert("RGB") if suffix == "webp" else image).save(
                path.with_suffix(f".{suffix}"), lossless=True
            )
        path.unlink(missing_ok=suffix == "PNG")
    report = scored(tmp_path, protocol="objects")
    assert report.final["J"] == 1 and report.clips["heron"]["frames"] == 4 and not report.warnings


def test_of_two_annotations_of_a_frame_the_png_is_read_and_the_other_named(tmp_path: Path) -> None:
    for folder in ("truth", "masks"):
        masks_in_quarters(tmp_path / folder, "heron", (0, 0, 0, 1))
    Image.new("L", (32, 32)).save(tmp_path / "truth" / "heron" / "00001.bmp")
    report = scored(tmp_path)
    assert report.final["J"] == 1 and "annotations of heron: 00001.bmp not read" in report.warnings[0]


@pytest.mark.parametrize("side", ["truth", "masks"])
def test_names_that_differ_in_zeros_alone_are_refused(tmp_path: Path, side: str) -> None:
    for folder in ("truth", "masks"):
        masks_in_quarters(tmp_path / folder, "heron", (0, 0, 0, 1))
    Image.new("L", (32, 32)).save(tmp_path / side / "heron" / "1.png")
    assert "00001 and 1 name the same frame" in scored(tmp_path).set_aside["heron"]


@pytest.mark.parametrize(
    ("masks", "truth", "meant"),
    [
        ("found", ".", "truth"),
        (".", "truth", "found"),
        ("found", "truth/heron", "truth"),
        ("found", "truth2", None),
    ],
)
def test_folders_of_another_level_are_refused_with_the_one_that_is_meant(
    tmp_path: Path, masks: str, truth: str, meant: str | None
) -> None:
    for folder in ("truth", "found"):
        for clip in ("heron", "tram"):
            masks_in_quarters(tmp_path / folder, clip, (0, 0, 0, 1))
    masks_in_quarters(tmp_path / "truth2", "otter", (0, 0, 0, 1))
    with pytest.raises(RunError) as error:
        evaluate.fn(str(tmp_path / masks), str(tmp_path / truth))
    told = str(error.value)
    assert (f"id you mean {tmp_path / meant}?" in told) if meant else ("otter" in told and "mean" not in told)


def test_a_clip_in_other_letters_is_set_aside_with_the_name_that_is_there(tmp_path: Path) -> None:
    for clip in ("heron", "tram"):
        masks_in_quarters(tmp_path / "truth", clip, (0, 0, 0, 1))
    for clip in ("Heron", "tram"):
        masks_in_quarters(tmp_path / "masks", clip, (0, 0, 0, 1))
    report = scored(tmp_path)
    assert "did you mean 'heron'?" in report.set_aside["Heron"]
    assert report.final["J"] == pytest.approx(0.5)  # no mask is of heron


def test_masks_of_another_size_are_told_from_annotations_of_another_size(tmp_path: Path) -> None:
    for folder, width in (("truth", 16), ("masks", 8)):
        write_masks(tmp_path / folder, "heron", FRAMES, [np.ones((8, width), np.uint8)] * 4)
    assert "00000.png is 16x8, the masks are 8x8" in scored(tmp_path).set_aside["heron"]


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
