"""Kinds of findings about a download or about one's own clips, and which of them are faults."""

from dataclasses import dataclass
from pathlib import Path

from motion_adapt.storage.datasets.catalogue import DataSet
from motion_adapt.storage.names import printable

# Every kind of finding with its meaning.
KINDS = {
    "missing clip": "the benchmark's list names it, but its folder is missing",
    "unusable clip": "it has no frames or two files for one frame, or is a broken link",
    "undecodable frame": "empty, cut short, or not a picture",
    "ends early": "a video that claims more frames, or a longer time, than it has",
    "frame size": "differs from that of the clip's first frame, or is too small",
    "too few frames": "optical flow needs two",
    "missing frames": "the frame numbers have a gap",
    "missing annotations": "the clip has no annotation at all",
    "frame without annotation": "the benchmark has an annotation for this frame",
    "annotation without frame": "its frame is missing",
    "undecodable annotation": "empty, cut short, or not a picture or table",
    "annotation size": "differs from that of its frame",
    "box": "empty, or outside its frame",
    "label": "a colour, a grey or an id that the benchmark does not have",
    "mask values": "own annotations only: values that are not read as they are stored",
    "no object": "no object in any annotated frame or, in multi-object benchmarks, in the first one",
    "object count": "differs from the benchmark's own",
    "later object": "first seen after the first annotated frame: the protocol counts it as background",
    "every fifth frame": "YouTubeVOS without the frames in between: motion is five times as fast",
    "hardly any motion": "own clips only: anything but the camera moves in too few frames",
    "slow motion": "own clips only: too little motion from frame to frame at the gap of inference",
    "skipped": "own clips only: it is not taken, since it is no video or picture, or is where no clip is looked for",
    "layout": "which folder was used where several were possible",
}
ALWAYS_WARNINGS = {
    "mask values",
    "later object",
    "every fifth frame",
    "layout",
    "hardly any motion",
    "slow motion",
    "skipped",
}
# Faults in a benchmark that may be intended in one's own clips.
OWN_WARNINGS = {
    "missing annotations",
    "frame without annotation",
    "annotation without frame",
    "missing frames",
    "no object",
}


@dataclass(frozen=True)
class Finding:
    """One problem, with the path of the file or folder that has it."""

    kind: str  # one of KINDS
    clip: str  # empty if the finding concerns the whole folder
    path: str
    text: str
    fault: bool


def judged(item: Finding, known: DataSet | None) -> Finding:
    """Return the finding as a fault or, if it may be intended, as a warning."""
    harmless = item.kind in ALWAYS_WARNINGS or (known is None and item.kind in OWN_WARNINGS)
    return Finding(item.kind, item.clip, item.path, item.text, not harmless)


def finding(kind: str, clip: str, path: Path, text: str) -> Finding:
    """Create a finding of a kind in `KINDS`, not yet judged."""
    return Finding(kind, clip, printable(path), text, True)


def size_text(size: tuple[int, int]) -> str:
    """Format (H, W) as "WxH"."""
    return f"{size[1]}x{size[0]}"
