"""Check a download or one's own clips before hours are spent on them.

Every file is decoded, frames and annotations alike. A finding is a fault if a metric would be wrong or missing, else
a warning. Nothing is repaired, and checking continues after a fault.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from motion_adapt.storage.checks.annotation_faults import annotation_findings
from motion_adapt.storage.checks.findings import Finding, finding, judged, size_text
from motion_adapt.storage.clips.find_clips import Clip, ClipError, ClipList, TooFewFrames, find_clips
from motion_adapt.storage.clips.numbering import numbering_gaps
from motion_adapt.storage.clips.videos import MIN_SIDE, open_frames
from motion_adapt.storage.datasets.catalogue import DataSet
from motion_adapt.storage.formats.images import PictureError, read_rgb
from motion_adapt.storage.formats.label_rules import Background
from motion_adapt.storage.names import frame_number, printable

Look = Callable[[np.ndarray], None]  # called with each frame, u8 (H, W, 3) RGB, of a clip of no benchmark


def clips_to_verify(source: Path, *, dataset: str | None = None, split: str | None = None) -> ClipList:
    """Return the clips of a folder; of a benchmark, named or recognised, those that its figures are averaged over.

    `dataset` and `split` are as in `find_clips`.

    Raises:
        ValueError: if the folder has no clips, or as in `find_clips`.
    """
    clips = find_clips(source, dataset=dataset, split=split)
    if clips.data_set is not None and dataset is None and split is None:
        return find_clips(source, dataset=clips.data_set.name)
    return clips


def verify_list(clips: ClipList, source: Path, split: str | None = None) -> list[Finding]:
    """Return findings about the folder itself: clips that its list names but that are missing or unusable."""
    return [judged(item, clips.data_set) for item in _listed(clips, source, split)]


def verify_clip(
    clip: Clip,
    annotations: Path | None,
    known: DataSet | None,
    look: Look | None = None,
    background: Background = "black",
) -> list[Finding]:
    """Return findings about a clip and its annotations.

    Args:
        clip: the clip to check.
        annotations: folder or table of annotations, as `find_clips` located it, or None.
        known: the benchmark that the clip belongs to, or None.
        look: called with each frame, u8 (H, W, 3) RGB, if `known` is None.
        background: what is behind the objects of annotations in colours, if they are no benchmark's.
    """
    return [judged(item, known) for item in _clip_findings(clip, annotations, known, look, background)]


def _listed(clips: ClipList, source: Path, split: str | None) -> Iterator[Finding]:
    known = clips.data_set
    there = {clip.path.name for clip in clips.clips} | {entry.name for entry in clips.set_aside}
    if known is not None and split is None:
        for name in known.evaluated:
            if name not in there:
                yield finding(
                    "missing clip", name, source / name, f"is in {known.name} {known.split}, not here"
                )
    for entry in clips.set_aside:
        kind = "missing clip" if entry.missing else "unusable clip"
        yield finding(kind, entry.name, source / entry.name, entry.reason)
    for path, reason in clips.skipped.items():
        yield finding("skipped", "", source / path, reason)
    for text in clips.chosen:
        yield finding("layout", "", source, text)


def _clip_findings(
    clip: Clip, annotations: Path | None, known: DataSet | None, look: Look | None, background: Background
) -> Iterator[Finding]:
    if clip.kind == "video":
        size, count, findings = _video(clip, look if known is None else None)
    else:
        size, count, findings = _frames(clip, look if known is None else None)
        findings += _numbers(clip, known)
    yield from findings
    if annotations is None:
        if known is not None:
            yield finding(
                "missing annotations", clip.name, clip.path, f"{known.name} is here without annotations"
            )
        return
    if size is not None:
        yield from annotation_findings(clip, clip.frame_names(count), size, annotations, known, background)


def _video(clip: Clip, look: Look | None) -> tuple[tuple[int, int] | None, int, list[Finding]]:
    size, count = None, 0
    frames = open_frames(clip)
    try:
        for frame in frames:
            count += 1
            size = frame.shape[0], frame.shape[1]
            if look:
                look(frame)
    except ClipError as error:
        kind = "too few frames" if isinstance(error, TooFewFrames) else "undecodable frame"
        return None, count, [finding(kind, clip.name, clip.path, error.reason)]
    told = [text.removeprefix(f"{clip.name}: ") for text in frames.warnings]
    return size, count, [finding("ends early", clip.name, clip.path, text) for text in told]


def _frames(clip: Clip, look: Look | None) -> tuple[tuple[int, int] | None, int, list[Finding]]:
    """Return the size (H, W) of the first frame that can be decoded, the number of frames, and findings."""
    findings: list[Finding] = []
    size: tuple[int, int] | None = None
    first = clip.files[0]
    for path in clip.files:
        try:
            picture = read_rgb(path)  # as a run reads it
        except PictureError as error:
            findings.append(finding("undecodable frame", clip.name, path, str(error)))
            continue
        here = picture.shape[0], picture.shape[1]
        if size is None:
            size, first = here, path
            if min(size) < MIN_SIDE:
                text = f"is {size_text(size)}, each side needs at least {MIN_SIDE} pixels"
                findings.append(finding("frame size", clip.name, path, text))
        if here != size:
            text = f"is {size_text(here)}, {printable(first.name)} is {size_text(size)}"
            findings.append(finding("frame size", clip.name, path, text))
        elif look:
            look(picture)
    if len(clip.files) < 2:
        findings.append(
            finding("too few frames", clip.name, clip.path, "has one frame; optical flow needs two")
        )
    return size, len(clip.files), findings


def _numbers(clip: Clip, known: DataSet | None) -> list[Finding]:
    """Find gaps in the frame numbers, and clips of the YouTubeVOS download that has only every fifth frame."""
    numbers = [frame_number(path.stem) for path in clip.files]
    counted = [number for number in numbers if number is not None]
    if len(counted) < max(len(numbers), 2):
        return []
    steps = [after - before for before, after in pairwise(counted)]
    if known is not None and known.annotated == "fifth" and min(steps) >= 5:
        text = "has only every fifth frame; the download 'train_all_frames' has the others"
        return [finding("every fifth frame", clip.name, clip.path, text)]
    return [
        finding(
            "missing frames", clip.name, clip.path,
            f"no frame between {printable(before.name)} and {printable(after.name)}",
        )
        for before, after in numbering_gaps(clip.files)
    ]  # fmt: skip
