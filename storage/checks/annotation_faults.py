"""Find faults in a clip's annotations: missing, damaged, of another size than the frame, or with unknown labels."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from motion_adapt.storage.checks.findings import Finding, finding, size_text
from motion_adapt.storage.clips.find_clips import Clip
from motion_adapt.storage.datasets.catalogue import DataSet
from motion_adapt.storage.datasets.layouts import is_table, truth_folder
from motion_adapt.storage.formats.images import PictureError
from motion_adapt.storage.formats.label_rules import VOID, Background
from motion_adapt.storage.labels.truth import Box, ForeignLabel, LayerFiles, OtherSize, Truth, due, found
from motion_adapt.storage.names import count_of

_KINDS: dict[type[Exception], str] = {ForeignLabel: "label", OtherSize: "annotation size"}
Size = tuple[int, int]  # (H, W)


def annotation_findings(
    clip: Clip,
    frames: Sequence[str],
    size: Size,
    root: Path,
    known: DataSet | None,
    background: Background = "black",
) -> Iterator[Finding]:
    """Yield findings about a clip's annotations.

    Args:
        clip: the annotated clip.
        frames: names of its frames, in order.
        size: (H, W) of its frames.
        root: folder or table of annotations, as `find_clips` located it.
        known: the benchmark that the clip belongs to, or None.
        background: what is behind the objects of annotations in colours, if they are no benchmark's.
    """
    name = clip.path.stem if clip.kind == "video" else clip.path.name
    folder = root if is_table(root) else truth_folder(root, name)
    try:
        there = found(root, name, frames, known, background)
    except PictureError as error:
        yield finding("undecodable annotation", clip.name, folder, str(error))
        return
    except OSError as error:
        yield finding("missing annotations", clip.name, folder, error.strerror or "cannot be read")
        return
    matched = {frame: there[frame] for frame in frames if frame in there}
    if not matched:
        yield finding("missing annotations", clip.name, folder, "no annotation is named like a frame")
        return
    for frame, truth in there.items():
        if frame not in matched:
            yield finding("annotation without frame", clip.name, truth.path, f"there is no frame {frame}")
    for frame in due(frames, list(matched), known):
        if frame not in matched:
            text = "the frame has no annotation"
            yield finding("frame without annotation", clip.name, folder / f"{frame}.png", text)
    yield from _layers(clip, matched)
    yield from _labels(clip, matched, size, known, folder)


def _layers(clip: Clip, matched: dict[str, Truth]) -> Iterator[Finding]:
    """Yield frames in which one of the clip's objects has no picture."""
    counts = {frame: len(truth.paths) for frame, truth in matched.items() if isinstance(truth, LayerFiles)}
    for frame, count in counts.items():
        if count < max(counts.values()):
            text = f"has {count} of the clip's {max(counts.values())} objects"
            yield finding("frame without annotation", clip.name, matched[frame].path, text)


def _labels(
    clip: Clip,
    matched: dict[str, Truth],
    size: Size,
    known: DataSet | None,
    folder: Path,
) -> Iterator[Finding]:
    """Decode every annotation and check its size, its labels, and when each object first appears."""
    first: set[int] | None = None
    seen: set[int] = set()
    told: set[str] = set()
    for frame, truth in matched.items():
        try:
            labels = truth.decode(size)
        except PictureError as error:
            yield finding(
                _KINDS.get(type(error), "undecodable annotation"), clip.name, truth.path, str(error)
            )
            continue
        here: Size = labels.shape[0], labels.shape[1]
        if here != size:
            yield finding(
                "annotation size", clip.name, truth.path, f"is {size_text(here)}, its frame {size_text(size)}"
            )
            continue
        ids = set(np.flatnonzero(np.bincount(labels.ravel(), minlength=256)).tolist()) - {0, VOID}
        if isinstance(truth, Box) and not ids:
            text = f"the box of {frame} is empty or outside the frame"
            yield finding("box", clip.name, truth.path, text)
        for path, note in truth.notes:
            if note not in told:
                told.add(note)
                yield finding("label" if known else "mask values", clip.name, path, note)
        if text := _unknown_labels(ids, truth, known):
            yield finding("label", clip.name, truth.path, text)
            continue
        first = ids if first is None else first
        late = {label for label in ids - seen if label > max(first, default=0)}
        if late and seen and known is not None and known.protocol == "objects":
            text = f"object {min(late)} is first seen here; the protocol counts those of the first annotated frame"
            yield finding("later object", clip.name, truth.path, text)
        seen |= ids
    if first is None:
        return
    if not seen or (not first and known is not None and known.protocol == "objects"):
        where = "any annotated frame" if not seen else "the first annotated frame; the clip cannot be scored"
        yield finding("no object", clip.name, folder, f"no object in {where}")
    wanted = known.objects.get(clip.path.name) if known is not None else None
    if wanted is not None and known is not None and max(seen, default=0) != wanted:
        has = count_of(max(seen, default=0), "object")
        text = f"has {has}, {known.name} has {wanted}; are these another data set's masks?"
        yield finding("object count", clip.name, folder, text)


def _unknown_labels(ids: set[int], truth: Truth, known: DataSet | None) -> str:
    """Return what is wrong with the ids of one picture; empty if nothing is."""
    if known is None or isinstance(truth, LayerFiles):
        return ""
    allowed = set(range(1, len(known.colours)))
    if ids <= allowed:
        return ""
    there = f"has label {max(ids - allowed)}; {known.name} has"
    return f"{there} 1 to {max(allowed)}" if known.multi_object else f"{there} one foreground, 255 on 0"
