"""Evaluate: score masks against annotations, by the data set's own rules.

    for each clip with masks and annotations:  J and F, frame by frame
    over the clips:                            their mean

A clip whose annotations are missing or unusable is not scored, and the reason is reported. Annotated clips without
masks are not part of the mean, and a warning counts them.
"""

import time
from pathlib import Path

from prefect import flow

from motion_adapt.flows.reports.run_report import Report, mean_scores
from motion_adapt.flows.run.console import console, say
from motion_adapt.flows.run.errors import RunError, reason
from motion_adapt.flows.run.presets import known_benchmark
from motion_adapt.flows.run.runners import DEFAULT_RUNNER
from motion_adapt.storage.clips.find_clips import ClipList, find_clips
from motion_adapt.storage.datasets.catalogue import DataSet
from motion_adapt.storage.datasets.layouts import davis_layout, is_table, lay_out, truth_folder
from motion_adapt.storage.formats.label_rules import Background
from motion_adapt.storage.names import printable, some
from motion_adapt.tasks.evaluation import Protocol, score_folder
from motion_adapt.tasks.runtime.progress import track


@flow(name="evaluate", task_runner=DEFAULT_RUNNER)
def evaluate(
    predictions: str,
    annotations: str,
    protocol: Protocol | None = None,
    objects: int = 3,
    clips: list[str] | None = None,
    data_set: str | None = None,
    background: Background = "black",
) -> Report:
    """Score folders of masks.

    Args:
        predictions: a folder with one folder of masks per clip.
        annotations: the same layout, or the root of a data set.
        protocol: how to score; None uses that of the data set, else single.
            single: one foreground, both as the union of all objects and as the object that fits best.
            objects: each object with its own mask, by assignment, in all frames (DAVIS 2017 unsupervised).
            boxes: IoU of boxes (MoCA).
        objects: number of objects in the masks; raised, up to 20, for clips with larger ids.
        clips: names of the clips to score; None scores all.
        data_set: the benchmark of the annotations, or "none"; if None, it is recognised. It decides whether `single`
            leaves out each clip's first and last frame: DAVIS2016 does, and so do clips of no benchmark.
        background: what is behind the objects of masks in colours: black, or the most frequent colour on the borders.
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
                    clip, root, protocol, objects, skip_ends=skip_ends, data_set=known, background=background
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


def annotated_clips(root: Path, known: DataSet | None) -> list[str]:
    """Return the names of the clips with annotations; of a benchmark, only clips that its figures are averaged over."""
    if known:
        return [name for name in known.evaluated if is_table(root) or truth_folder(root, name).is_dir()]
    return sorted(folder.name for folder in root.iterdir() if folder.is_dir())


def without_masks(found: ClipList, annotated: list[str]) -> list[str]:
    """Return a warning that counts the annotated clips without masks, or an empty list if there are none."""
    there = {clip.path.name for clip in found.clips} | {item.name for item in found.set_aside}
    missing = [printable(name) for name in annotated if name not in there]
    if not missing:
        return []
    return [f"no masks of {len(missing)} annotated clips, which do not count in the mean: {some(missing)}"]


def annotation_root(folder: Path, dataset: str | None = None) -> Path:
    """Return the folder of the clips' annotations: `folder`, or where the data set in it keeps them.

    Raises:
        RunError: if there is no such folder.
    """
    if not folder.is_dir():
        raise RunError(f"there is no folder {folder} with annotations")
    known = known_benchmark(folder, dataset)
    if known or (folder / "JPEGImages").is_dir():
        try:
            located = lay_out(folder, known).annotations if known else davis_layout(folder).annotations
        except ValueError:
            return folder  # it holds annotations only
        if located is None:
            raise RunError(f"{folder} has no folder Annotations")
        return located
    return folder
