"""Evaluation: J and F, if labels exist (paper 4.1).

In a round, annotations are opened only here and in tasks/selection_scores.py.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from motion_adapt.models.inputs.imaging import native_labels
from motion_adapt.models.scoring.boxes import score_boxes
from motion_adapt.models.scoring.protocols import Pair, averages, score_matched, score_objects, score_union
from motion_adapt.storage.artifacts.reader import ArtifactReader
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.clips.find_clips import Clip
from motion_adapt.storage.datasets.catalogue import DataSet
from motion_adapt.storage.formats.label_maps import ClipMasks
from motion_adapt.storage.formats.label_rules import MAX_OBJECTS, Background
from motion_adapt.storage.formats.masks import read_masks
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.labels.annotations import Annotations, annotated_frames, open_annotations
from motion_adapt.storage.labels.truth import due
from motion_adapt.storage.names import natural_key, printable, safe_name, some
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import NotKeyed, stage

Protocol = Literal["single", "objects", "boxes"]


@dataclass(frozen=True)
class Labels:
    """A clip's annotations; `content` is their digest, which is part of the key of the scores."""

    root: Path
    clip: Clip
    frame_names: tuple[str, ...]
    size: tuple[int, int]
    content: str
    warnings: tuple[str, ...]  # of masks without a frame and frames without a mask
    data_set: DataSet | None = None  # the benchmark that they belong to
    background: Background = "black"  # of those in colours

    def open(self) -> Annotations:
        """Open the annotations.

        Raises:
            AnnotationError: if they cannot be used.
        """
        return open_annotations(
            self.root,
            self.clip,
            self.frame_names,
            size=self.size,
            data_set=self.data_set,
            background=self.background,
        )


def find_labels(
    root: Path,
    clip: Clip,
    names: tuple[str, ...],
    size: tuple[int, int],
    data_set: DataSet | None = None,
    background: Background = "black",
) -> Labels:
    """Locate the annotations of a clip.

    Args:
        root: the folder or table with the annotations of all clips.
        clip: the clip.
        names: names of its frames.
        size: (H, W) of its frames.
        data_set: the benchmark that the clip belongs to, or None; decides layout and colours.
        background: what is behind the objects of annotations in colours, if they are no benchmark's.

    Raises:
        AnnotationError: if there are none.
    """
    found = open_annotations(root, clip, names, size=size, data_set=data_set, background=background)
    return Labels(root, clip, names, size, found.content(names), tuple(found.warnings), data_set, background)


@stage("scores", version=5)
def score(
    masks: Artifact,
    *,
    content: str,
    protocol: Protocol,
    skip_ends: bool,
    objects: int,
    labels: NotKeyed[Labels],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Score proposals, corrections or final masks at native size; `content` is `labels.content`.

    The summary has `scores` (see `score_pairs`) and the number of scored frames.
    """
    reader = place.open().open(masks)
    annotations = labels.open()

    def pairs() -> Iterator[Pair]:
        known = set(annotations.frames)
        for name, predicted in zip(labels.frame_names, label_maps(reader, labels.size), strict=True):
            yield (annotations.read(name) if name in known else None), predicted

    found = score_pairs(pairs, protocol=protocol, objects=objects, clip=labels.clip.name, skip_ends=skip_ends)
    out.summary = {"scores": found.scores, "frames_scored": found.frames}
    warnings = [*annotations.warnings, *found.warnings]
    out.made["warnings"] = [text for text in warnings if text not in labels.warnings]


class Scored(NamedTuple):
    """Scores of a clip by name, the number of frames that they are of, and what a reader should know."""

    scores: dict[str, float]
    frames: int
    warnings: tuple[str, ...] = ()


def score_pairs(
    pairs: Callable[[], Iterator[Pair]],
    *,
    protocol: Protocol,
    objects: int,
    clip: str,
    skip_ends: bool = True,
) -> Scored:
    """Compute J, F and JF of a clip.

    Args:
        pairs: returns an iterator over (annotation or None, predicted labels) of all frames; called more than once.
        protocol: how masks and annotations are compared.
            single: `J` is that of the union of all objects, which needs no label to choose, and `J_matched` that of the
            one object that fits the annotation best.
            objects: each annotated object with its own mask, by assignment, in all annotated frames.
            boxes: J and SR of `score_boxes` instead.
        objects: number of predicted objects.
        clip: the clip's name, for messages.
        skip_ends: for single, whether to leave out the first and the last frame, as DAVIS 2016 does.

    Raises:
        NothingToScore: if no frame can be scored.
    """
    if protocol == "objects":
        found = score_objects(pairs(), clip=clip)
        late = some([str(label) for label in found.late])
        told = f"annotations of {clip}: objects larger than all in the first annotated frame are not scored ({late})"
        return Scored(_named(averages([found]), ""), len(found.frames), (told,) if found.late else ())
    if protocol == "boxes":
        return Scored(*score_boxes(pairs(), objects=objects, clip=clip))
    union = score_union(pairs(), clip=clip, skip_ends=skip_ends)
    matched = score_matched(pairs(), objects=objects, clip=clip, skip_ends=skip_ends)
    scores = _named(averages([union]), "") | _named(averages([matched]), "_matched")
    return Scored(scores, len(union.frames))


def score_folder(
    clip: Clip,
    root: Path,
    protocol: Protocol,
    objects: int,
    *,
    skip_ends: bool = True,
    data_set: DataSet | None = None,
    background: Background = "black",
) -> tuple[dict[str, float], list[str]]:
    """Score one folder of masks. Returns scores and warnings.

    The annotations say which frames count; with `skip_ends`, all but the first and the last annotated one. An annotated
    frame without a mask counts as an empty one, with a warning; of a benchmark, whose own evaluator takes no such clip,
    it is an error. Masks of other frames are not read.

    Raises:
        ValueError: if masks or annotations cannot be used; names the file.
    """
    own = dict(zip(clip.frame_names(len(clip.files)), clip.files, strict=True))
    annotated = annotated_frames(root, clip, data_set, tuple(own))
    names, extra = _within(tuple(own), annotated)
    both = own.keys() & set(annotated)
    used = [name for name in names if name in both]
    masks = ClipMasks([own[name] for name in used or own], background)
    height, width = next(read_masks(masks)).shape
    labels = open_annotations(
        root,
        clip,
        names,
        size=(height, width),
        data_set=data_set,
        background=background,
        compared="the masks are",
    )
    missing = [name for name in labels.frames if name not in own]
    lacking = f"{len(missing)} of {len(labels.frames)} annotated frames have no mask ({some(missing)})"
    if not used:
        raise ValueError(f"{lacking}: masks must be named like the annotations")
    if missing and data_set:
        raise ValueError(f"{lacking}; the evaluation of {data_set.name} wants a mask of every one")
    largest = max(int(mask.max()) for mask in read_masks(masks))
    objects = max(objects, min(largest, MAX_OBJECTS))

    def pairs() -> Iterator[Pair]:
        predicted = read_masks(masks)
        for name in labels.frames:
            mask = next(predicted) if name in own else np.zeros((height, width), np.uint8)
            yield labels.read(name), mask

    found = score_pairs(pairs, protocol=protocol, objects=objects, clip=clip.name, skip_ends=skip_ends)
    warnings = [f"masks of {clip.name}: {printable(path.name)} {note}" for path, note in masks.notes]
    if largest > objects and protocol == "boxes":  # other protocols refuse such masks
        warnings.append(
            f"masks of {clip.name}: ids up to {largest}; those above {objects} do not count in J_matched"
        )
    if missing:
        warnings.append(f"masks of {clip.name}: {lacking}, which count as empty")
    if extra := due(extra, annotated, data_set):
        warnings.append(
            f"masks of {clip.name}: {len(extra)} extra, before the first or after the last annotated frame "
            f"({some(extra)}); ignored"
        )
    return {"frames": found.frames, **found.scores}, [*labels.warnings, *found.warnings, *warnings]


def score_without_masks(
    folder: Path,
    protocol: Protocol,
    objects: int,
    *,
    skip_ends: bool = True,
    background: Background = "black",
) -> tuple[dict[str, float], list[str]]:
    """Score a clip of no benchmark that has annotations in `folder` and no masks: all count as empty.

    Returns scores and warnings.

    Raises:
        ValueError: if the annotations cannot be used; names the file.
    """
    clip = Clip(safe_name(folder.name), folder, "frames", ())
    names = tuple(sorted(annotated_frames(folder.parent, clip, None, ()), key=natural_key))
    labels = open_annotations(
        folder.parent, clip, names, size=None, background=background, compared="the first is"
    )

    def pairs() -> Iterator[Pair]:
        return ((labels.read(name), np.zeros(labels.size, np.uint8)) for name in labels.frames)

    found = score_pairs(pairs, protocol=protocol, objects=objects, clip=clip.name, skip_ends=skip_ends)
    return {"frames": found.frames, **found.scores}, [*labels.warnings, *found.warnings]


def _within(own: Sequence[str], annotated: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Return the frames from the first annotated one to the last, in order, and the others of `own`.

    Raises:
        ValueError: if two names differ only in zeros before a number or in upper and lower case.
    """
    names = sorted({*own, *annotated}, key=natural_key)
    for one, other in pairwise(names):
        if natural_key(one)[0] == natural_key(other)[0]:
            raise ValueError(
                f"{one} and {other} name the same frame; masks must be named like the annotations"
            )
    counting = set(annotated)
    places = [index for index, name in enumerate(names) if name in counting] or [0, len(names) - 1]
    within = dict.fromkeys(names[places[0] : places[-1] + 1])
    return tuple(within), [name for name in own if name not in within]


def label_maps(reader: ArtifactReader, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield the label maps of an artifact, u8 (H', W') at native size, as the final masks are made from it."""
    if "labels" in reader.manifest.arrays:
        for _, block in reader.array("labels").blocks():
            yield from block
        return
    made = (
        "probabilities" if "probabilities" in reader.manifest.arrays else "masks"
    )  # proposals have masks alone
    for _, block in reader.array(made).blocks():
        for objects in block:
            yield native_labels(objects[None], *size)[0]


def _named(values: dict[str, float], suffix: str) -> dict[str, Any]:
    return {f"{name}{suffix}": values[name] for name in ("J", "F", "JF")}
