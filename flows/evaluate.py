"""Evaluate: masks against annotations, by the data set's own rules.

    for each clip with masks and annotations:  J and F, frame by frame
    over the clips:                            their mean

A clip whose annotations are missing or unusable is left unscored, with the reason; annotated clips without masks, which
the mean knows nothing of, are warned about.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from prefect import flow

from motion_adapt.flows.reports.run_report import Report, mean_scores
from motion_adapt.flows.run.console import console, say
from motion_adapt.flows.run.errors import RunError, reason
from motion_adapt.flows.run.presets import known_benchmark
from motion_adapt.flows.run.runners import DEFAULT_RUNNER
from motion_adapt.storage.clips.find_clips import Clip, ClipList, find_clips
from motion_adapt.storage.datasets.catalogue import DataSet
from motion_adapt.storage.datasets.layouts import davis_layout, is_table, lay_out, truth_folder
from motion_adapt.storage.formats.masks import MAX_OBJECTS, read_masks
from motion_adapt.storage.labels.annotations import open_annotations
from motion_adapt.storage.names import printable
from motion_adapt.tasks.evaluation import Protocol, score_pairs
from motion_adapt.tasks.runtime.progress import track

NAMED = 3  # clips without masks that a warning names; it counts the others


@flow(name="evaluate", task_runner=DEFAULT_RUNNER)
def evaluate(
    predictions: str,
    annotations: str,
    protocol: Protocol | None = None,
    objects: int = 3,
    clips: list[str] | None = None,
    data_set: str | None = None,
) -> Report:
    """Score folders of indexed PNGs.

    Args:
        predictions: a folder with one folder of masks per clip.
        annotations: the same layout, or the root of a data set.
        protocol: single: one foreground, as the union of all objects and as the object that fits best, by the
            frame rule of DAVIS 2016; objects: each object with its own mask by assignment, all frames (DAVIS
            2017 unsupervised); boxes: IoU of boxes (MoCA). None: that of the data set, else single.
        objects: how many objects the masks stand for; more where a clip's hold larger ids, up to 20.
        clips: names of the clips to score; all if none.
        data_set: the benchmark that the annotations belong to, or none, whose frame rule is then followed: with
            `single`, only DAVIS2016 leaves out each clip's first and last frame. None: the one that the annotations
            look like; where they look like nobody's, the rule of DAVIS2016.
    """
    began = time.monotonic()
    report = Report("evaluate", predictions)
    known = known_benchmark(annotations, data_set)
    protocol = protocol or (known.protocol if known else "single")
    skip_ends = known.skip_ends if known else True
    try:
        found = find_clips(Path(predictions), only=clips or ())
    except (ValueError, OSError) as error:
        raise RunError(str(error)) from error
    root = annotation_root(Path(annotations), data_set)
    report.set_aside = {item.name: item.reason for item in found.set_aside}
    with track(len(found.clips), "evaluate") as advance:
        for clip in found.clips:
            try:
                scores, warnings = score_folder(
                    clip, root, protocol, objects, skip_ends=skip_ends, data_set=known
                )
            except (ValueError, OSError) as error:
                report.set_aside[clip.name] = reason(error)
            else:
                report.clips[clip.name] = scores
                report.warnings += warnings
            advance(1)
    if not clips:
        report.warnings += without_masks(found, annotated_clips(root, known))
    for text in report.warnings:
        say(console, "warning", text, "yellow")
    report.final = mean_scores(report.clips)
    report.seconds["total"] = time.monotonic() - began
    return report


def score_folder(
    clip: Clip,
    root: Path,
    protocol: Protocol,
    objects: int,
    *,
    skip_ends: bool = True,
    data_set: DataSet | None = None,
) -> tuple[dict[str, float], list[str]]:
    """Scores and warnings of one folder of masks.

    Raises:
        ValueError: where masks or annotations can't be used; names the file.
    """
    names = clip.frame_names(len(clip.files))
    folder = clip.path.parent, clip.path.name
    size = next(read_masks(*folder, names[:1])).shape
    labels = open_annotations(root, clip, names, size=(size[0], size[1]), data_set=data_set)
    largest = max(int(mask.max()) for mask in read_masks(*folder, names))
    objects = max(objects, min(largest, MAX_OBJECTS))

    def pairs() -> Iterator[tuple[np.ndarray | None, np.ndarray]]:
        known = set(labels.frames)
        for name, mask in zip(names, read_masks(*folder, names), strict=True):
            yield (labels.read(name) if name in known else None), mask

    scores, frames = score_pairs(
        pairs, protocol=protocol, objects=objects, clip=clip.name, skip_ends=skip_ends
    )
    return {"frames": frames, **scores}, labels.warnings


def annotated_clips(root: Path, known: DataSet | None) -> list[str]:
    """Names of the clips that have annotations; of a benchmark, of those that its figures are averages over."""
    if known:
        return [name for name in known.evaluated if is_table(root) or truth_folder(root, name).is_dir()]
    return sorted(folder.name for folder in root.iterdir() if folder.is_dir())


def without_masks(found: ClipList, annotated: list[str]) -> list[str]:
    """A warning that counts the annotated clips of which no masks were found, if there are any."""
    there = {clip.path.name for clip in found.clips} | {item.name for item in found.set_aside}
    missing = [printable(name) for name in annotated if name not in there]
    if not missing:
        return []
    more = f" and {len(missing) - NAMED} more" if missing[NAMED:] else ""
    named = ", ".join(missing[:NAMED])
    return [f"no masks of {len(missing)} annotated clips, which do not count in the mean: {named}{more}"]


def annotation_root(folder: Path, dataset: str | None = None) -> Path:
    """Where the clips' annotations lie: in `folder`, or where the data set that it is keeps them.

    Raises:
        RunError: where there is no such folder.
    """
    if not folder.is_dir():
        raise RunError(f"there is no folder {folder} with annotations")
    known = known_benchmark(folder, dataset)
    if known or (folder / "JPEGImages").is_dir():
        try:
            located = lay_out(folder, known).annotations if known else davis_layout(folder).annotations
        except ValueError:
            return folder  # its annotations alone
        if located is None:
            raise RunError(f"{folder} has no Annotations")
        return located
    return folder
