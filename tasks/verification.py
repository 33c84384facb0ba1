"""Verification of one clip before a run: its files, and whether the method will find motion in it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from motion_adapt.models.inputs.flow import effective_gap
from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH, resize_frames
from motion_adapt.models.inputs.motion_check import measure_motion
from motion_adapt.storage.checks.findings import Finding, finding, judged
from motion_adapt.storage.checks.verify import verify_clip
from motion_adapt.storage.clips.find_clips import Clip
from motion_adapt.storage.datasets.catalogue import DataSet
from motion_adapt.storage.formats.label_rules import Background
from motion_adapt.tasks.settings import GapSettings

LOOKED_AT = 300  # the first frames of a clip, in which motion is measured


def check_clip(
    clip: Clip,
    annotations: Path | None,
    known: DataSet | None,
    gaps: GapSettings,
    background: Background = "black",
) -> list[Finding]:
    """Decode every frame and annotation of a clip; measure the motion if it belongs to no benchmark.

    Args:
        clip: the clip.
        annotations: folder or table with its data set's annotations, or None.
        known: the benchmark that it belongs to, or None.
        gaps: the gaps of the planned run.
        background: what is behind the objects of annotations in colours, if they are no benchmark's.
    """
    seen: list[np.ndarray] = []

    def look(frame: np.ndarray) -> None:
        if len(seen) < LOOKED_AT:
            seen.append(resize_frames(frame[None], HEIGHT, WIDTH)[0])

    found = verify_clip(clip, annotations, known, look, background)
    return [*found, *struggles(clip, seen, gaps)]


def struggles(clip: Clip, frames: list[np.ndarray], gaps: GapSettings) -> Iterator[Finding]:
    """Warn if a clip (frames u8 (128, 224, 3)) has too little motion for the method."""
    if len(frames) < 2:
        return
    motion = measure_motion(frames, gap=gaps.inference)
    if motion.hardly_any:
        text = (
            f"anything but the camera moves in only {motion.moving:.0%} of its frames; "
            "masks will be empty or wrong"
        )
        yield judged(finding("hardly any motion", clip.name, clip.path, text), None)
    elif motion.slow:
        text = f"the fastest motion is {motion.speed:.1f} pixels of {WIDTH} between frames {motion.gap} apart"
        # a larger gap helps if it is larger than the run's, and if the clip has frames so far apart
        if motion.better_gap > gaps.inference and effective_gap(len(frames), motion.better_gap) > motion.gap:
            text += f"; try {advice(motion.better_gap, gaps)}"
        yield judged(finding("slow motion", clip.name, clip.path, text), None)


def advice(inference: int, gaps: GapSettings) -> str:
    """Return the options that set the gap of inference, and the gap of adaptation if the two would be equal."""
    options = f"--set gaps.inference={inference}"
    if inference != gaps.adaptation:
        return options
    return f"{options} --set gaps.adaptation={inference - 1 or inference + 1}"
