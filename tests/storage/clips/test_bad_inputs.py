"""The table of awkward inputs, row by row: processed, processed with a warning, or refused with a short reason."""

from pathlib import Path

import numpy as np
import pytest

from motion_adapt.storage.clips.find_clips import Clip, ClipError, ClipList, find_clips
from motion_adapt.storage.clips.videos import open_frames
from motion_adapt.storage.labels.annotations import AnnotationError, open_annotations


@pytest.fixture(scope="module")
def bad(data: Path) -> ClipList:
    return find_clips(data / "bad", split="2016/val")


def named(found: ClipList, name: str) -> Clip:
    (clip,) = (clip for clip in found.clips if clip.name == name)
    return clip


REFUSED = {
    "truncated-jpeg": "00002.jpg is damaged or cut short",
    "zero-byte-frame": "00003.jpg is empty (zero bytes)",
    "text-as-jpeg": "00001.jpg is not a picture",
    "one-frame": "needs at least two frames, one-frame has 1",
    "mixed-sizes": "00002.jpg is 128x72, but 00000.jpg is 160x90",
    "tiny-frames": "00000.jpg is 16x9: too small, each side needs at least 16 pixels",
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(bad: ClipList, name: str) -> None:
    with pytest.raises(ClipError) as caught:
        list(open_frames(named(bad, name)))
    assert (caught.value.clip, caught.value.reason) == (name, REFUSED[name])


READ = {
    "good": (5, 90, 160), "zero-byte-mask": (5, 90, 160), "two-frames": (2, 90, 160), "numbering-gap": (4, 90, 160),
    "starts-at-one": (5, 90, 160), "gray-frame": (5, 90, 160), "cmyk-frame": (3, 90, 160), "exif-rotated": (3, 90, 160),
    "rgba-png-frames": (5, 45, 80), "png16-frames": (3, 36, 64), "no-annotations": (5, 90, 160),
    "constant-frames": (5, 90, 160), "odd-size": (4, 77, 131), "upper-case-extension": (4, 90, 160),
    "stray-files": (4, 90, 160), "unsorted-names": (5, 90, 160),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_read(bad: ClipList, name: str) -> None:
    stream = open_frames(named(bad, name))
    assert np.stack(list(stream)).shape == (*READ[name], 3)
    assert not stream.warnings


def test_every_row_is_accounted_for(bad: ClipList) -> None:
    annotated = {
        "mask-16bit",
        "mask-rgb",
        "five-objects",
        "void-label",
        "mask-grey-levels",
        "mask-other-size",
    }
    annotated |= {"mask-missing", "mask-extra", "mask-all-zero"}
    assert {clip.name for clip in bad.clips} == set(REFUSED) | set(READ) | annotated
    assert [(entry.name, entry.reason.split(": ")[-1]) for entry in bad.set_aside] == [
        ("empty", "no frames in empty"),
        ("listed-but-absent", "no such folder next to the other clips"),
    ]


def test_names_and_warnings(bad: ClipList) -> None:
    assert named(bad, "starts-at-one").frame_names(5)[0] == "00001"
    assert named(bad, "unsorted-names").frame_names(5) == (
        "frame_1",
        "frame_2",
        "frame_9",
        "frame_10",
        "frame_11",
    )
    assert any("00001.jpg and 00004.jpg" in warning for warning in bad.warnings)


def test_grey_and_cmyk_frames_look_like_their_neighbours(bad: ClipList) -> None:
    frames = list(open_frames(named(bad, "cmyk-frame")))
    assert np.abs(frames[1].astype(int) - frames[0]).mean() < 20
    frames = list(open_frames(named(bad, "png16-frames")))
    assert 30 < np.mean(frames) < 220 and np.abs(frames[1].astype(int) - frames[0]).mean() < 20


def test_messy_split(data: Path) -> None:
    found = find_clips(data / "bad", split="2016/messy")
    assert [clip.name for clip in found.clips] == ["good", "one-frame"]
    assert [entry.name for entry in found.set_aside] == ["../../../outside"]


VIDEOS = {
    "corrupted": "corrupted.mp4 is damaged at frame 0 of the 8 it claims",
    "one-frame": "needs at least two frames",
    "truncated": "truncated.mp4 is not a video, or one cut short",
    "no-moov": "no-moov.mp4 is not a video, or one cut short",
    "zero-byte": "zero-byte.mp4 is empty",
    "text": "text.mp4 is not a video",
}


@pytest.mark.parametrize("name", VIDEOS)
def test_videos_refused(data: Path, name: str) -> None:
    with pytest.raises(ClipError) as caught:
        list(open_frames(named(find_clips(data / "bad" / "videos"), name)))
    assert caught.value.reason.startswith(VIDEOS[name])


def test_good_video(data: Path) -> None:
    assert len(list(open_frames(named(find_clips(data / "bad" / "videos"), "good")))) == 8


def labels_of(bad: ClipList, name: str) -> tuple[list[set[int]], list[str]]:
    """Return the values in each label map that was read, and the warnings."""
    assert bad.annotations is not None
    clip = named(bad, name)
    frames = list(open_frames(clip))
    annotations = open_annotations(
        bad.annotations, clip, clip.frame_names(len(frames)), size=frames[0].shape[:2]
    )
    values = [set(np.unique(labels).tolist()) for _, labels in annotations]
    return values, annotations.warnings


LABELS = {
    "good": {0, 1}, "mask-16bit": {0, 1}, "mask-rgb": {0, 1}, "five-objects": {0, 1, 2, 3, 4, 5},
    "void-label": {0, 1, 255}, "mask-all-zero": {0}, "mask-grey-levels": {0, 1},
}  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_labels(bad: ClipList, name: str) -> None:
    values, warnings = labels_of(bad, name)
    assert values == [LABELS[name]] * 5
    assert len(warnings) == (name == "mask-grey-levels")


@pytest.mark.parametrize(("name", "file"), [("mask-missing", "00003.png"), ("mask-extra", "00009.png")])
def test_missing_and_extra_masks_are_named(bad: ClipList, name: str, file: str) -> None:
    values, warnings = labels_of(bad, name)
    assert len(values) == (4 if name == "mask-missing" else 5)
    assert len(warnings) == 1 and file in warnings[0]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("zero-byte-mask", "00001.png is empty"),
        ("mask-other-size", "00000.png is 80x45, its frame is 160x90"),
        ("no-annotations", "there is no folder"),
    ],
)
def test_unscorable(bad: ClipList, name: str, reason: str) -> None:
    with pytest.raises(AnnotationError, match=f"{name}: {reason}"):
        labels_of(bad, name)
