"""What can be wrong with a download: the kinds of findings, and whether one is a fault."""

from dataclasses import dataclass
from pathlib import Path

from motion_adapt.storage.datasets.catalogue import DataSet
from motion_adapt.storage.names import printable

# Every kind of finding, and what it means.
KINDS = {
    "missing clip": "the benchmark's list names it and its folder is not there",
    "unusable clip": "no frames in it, two files for one frame, a link to nothing",
    "undecodable frame": "empty, cut short, no picture",
    "frame size": "differs from that of the clip's first frame, or is too small",
    "too few frames": "optical flow needs two",
    "missing frames": "the numbers of the frames have a gap",
    "missing annotations": "no annotation of the clip at all",
    "frame without annotation": "where the benchmark has one",
    "annotation without frame": "its frame is not there",
    "undecodable annotation": "empty, cut short, no picture, no table",
    "annotation size": "differs from that of its frame",
    "box": "empty, or outside of its frame",
    "label": "a colour, a grey or an id that the benchmark does not have",
    "no object": "nothing is annotated, in the first annotated frame of a multi-object benchmark or in any",
    "object count": "differs from the benchmark's own",
    "later object": "first seen after the first annotated frame: the protocol counts it as background",
    "every fifth frame": "YouTubeVOS without the frames in between: motion is five times as fast",
    "hardly any motion": "of one's own clips: too few frames in which anything moves beside the camera",
    "slow motion": "of one's own clips: too little from frame to frame at the gap of inference",
    "layout": "what was chosen where a folder holds several of something",
}
ALWAYS_WARNINGS = {"later object", "every fifth frame", "layout", "hardly any motion", "slow motion"}
# What is a fault in a benchmark and may be meant in clips of one's own.
OWN_WARNINGS = {
    "missing annotations",
    "frame without annotation",
    "annotation without frame",
    "missing frames",
    "no object",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with the path of what it is wrong with."""

    kind: str  # one of KINDS
    clip: str  # empty: the whole folder
    path: str
    text: str
    fault: bool


def judged(item: Finding, known: DataSet | None) -> Finding:
    """The finding as a fault, or, where it may be meant, as a warning."""
    harmless = item.kind in ALWAYS_WARNINGS or (known is None and item.kind in OWN_WARNINGS)
    return Finding(item.kind, item.clip, item.path, item.text, not harmless)


def finding(kind: str, clip: str, path: Path, text: str) -> Finding:
    """A finding of a kind in `KINDS`, not yet judged."""
    return Finding(kind, clip, printable(path), text, True)


def size_text(size: tuple[int, int]) -> str:
    """(H, W) as people write sizes, width first."""
    return f"{size[1]}x{size[0]}"
