"""Evaluate: score masks against annotations, by the data set's own rules.

    for each clip with masks and annotations:  J and F, frame by frame
    over the clips:                            their mean

A clip whose annotations are missing or unusable is not scored, and the reason is reported. An annotated clip without
masks counts as empty, and is named; of a benchmark it is refused, as by the official tools. Masks of clips that a
benchmark does not evaluate are left out and named.
"""

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from prefect import flow

from motion_adapt.flows.reports.run_report import Report, mean_scores
from motion_adapt.flows.run.console import console, say
from motion_adapt.flows.run.errors import RunError, reason
from motion_adapt.flows.run.presets import known_benchmark
from motion_adapt.flows.run.runners import DEFAULT_RUNNER
from motion_adapt.storage.clips.find_clips import ClipList, find_clips
from motion_adapt.storage.clips.source_layout import nearby, pictures
from motion_adapt.storage.datasets.catalogue import DataSet
from motion_adapt.storage.datasets.layouts import davis_layout, is_table, lay_out, truth_folder
from motion_adapt.storage.formats.images import PictureError
from motion_adapt.storage.formats.label_rules import Background
from motion_adapt.storage.formats.masks import masks_folder
from motion_adapt.storage.labels.truth import read_boxes
from motion_adapt.storage.names import count_of, natural_key, printable, some
from motion_adapt.tasks.evaluation import Protocol, score_folder, score_without_masks
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
        predictions: a folder with one folder of masks per clip, or the results of a run.
        annotations: the same layout, or the root of a data set.
        protocol: how to score; None uses that of the data set, else single.
            single: one foreground, both as the union of all objects and as the object that fits best.
            objects: each object with its own mask, by assignment, in all frames (DAVIS 2017 unsupervised).
            boxes: IoU of boxes (MoCA).
        objects: number of objects in the masks; raised, up to 20, for clips with larger ids.
        clips: names of the clips to score; None scores all that have annotations.
        data_set: the benchmark of the annotations, or "none"; if None, it is recognised. It decides whether `single`
            leaves out each clip's first and last frame: DAVIS2016 does, and so do clips of no benchmark. Its mean is
            over its evaluated clips, or those of them that `clips` names: there is none if one of them was refused.
        background: what is behind the objects of masks in colours: black, or the most frequent colour on the borders.

    Raises:
        RunError: if nothing can be scored, or if a clip of a benchmark has no masks and `clips` does not leave it out.
    """
    began = time.monotonic()
    report = Report("evaluate", predictions)
    known = known_benchmark(annotations, data_set)
    protocol = protocol or (known.protocol if known else "single")
    skip_ends = known.skip_ends if known else True
    if not Path(predictions).exists():
        raise RunError(f"there is no folder {printable(predictions)} with masks, one folder per clip")
    try:
        found = find_clips(masks_folder(Path(predictions)), only=clips or ())
    except (ValueError, OSError) as error:
        raise RunError(str(error)) from error
    root = annotation_root(Path(annotations), data_set)
    annotated = annotated_clips(root, known)
    require_shared_clips(found, annotated, predictions, root)
    if known and not clips:
        found = evaluated_clips(found, annotated, known, report)
    absent = [] if clips else without_masks(found, annotated)
    if known and absent:
        raise RunError(
            f"no masks of {len(absent)} of the {len(annotated)} annotated clips of {known.name} ({some(absent)}): its "
            "mean is over all of them; name the clips to score with --clips"
        )
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
    if absent and report.clips:
        report.warnings += count_as_empty(report, root, absent, protocol, objects, skip_ends, background)
    report.final = mean_scores(report.clips)
    if known and report.set_aside:
        report.final = {}
        report.warnings.append(
            f"no mean: that of {known.name} is over all its clips, and {some(list(report.set_aside))} could not be "
            "scored"
        )
    for text in report.warnings:
        say(console, "warning", text, "yellow")
    report.seconds["total"] = time.monotonic() - began
    return report


def evaluated_clips(found: ClipList, annotated: list[str], known: DataSet, report: Report) -> ClipList:
    """Return the clips with masks that a benchmark evaluates; warn of the others, and of those without annotations.

    Raises:
        RunError: if it evaluates none of the clips.
    """
    there, evaluated = _names(found), set(known.evaluated)
    others = [name for name in there if name not in evaluated]
    if len(others) == len(there):
        raise RunError(
            f"none of the clips with masks ({some(others)}) is one that {known.name} evaluates: name the clips to "
            "score with --clips, or choose another --dataset"
        )
    if others:
        report.warnings.append(
            f"not scored: {len(others)} with masks that {known.name} does not evaluate ({some(others)}); --clips "
            "scores the clips that it names"
        )
    if unknown := sorted(evaluated.difference(annotated)):
        report.warnings.append(
            f"{len(unknown)} of the {len(evaluated)} clips that {known.name} evaluates have no annotations in this "
            f"folder ({some(unknown)}): the mean is not that of the benchmark"
        )
    return replace(
        found,
        clips=tuple(clip for clip in found.clips if clip.path.name in evaluated),
        set_aside=tuple(item for item in found.set_aside if item.name in evaluated),
    )


def count_as_empty(
    report: Report,
    root: Path,
    absent: list[str],
    protocol: Protocol,
    objects: int,
    skip_ends: bool,
    background: Background,
) -> list[str]:
    """Add the scores of the annotated clips without masks, all of whose masks count as empty. Returns warnings."""
    warnings = []
    for name in absent:
        try:
            scores, told = score_without_masks(
                root / name, protocol, objects, skip_ends=skip_ends, background=background
            )
        except (ValueError, OSError) as error:
            report.set_aside[name] = reason(error)
        else:
            report.clips[printable(name)] = scores
            warnings += told
    named = some([printable(name) for name in absent])
    return [
        *warnings,
        f"no masks of {count_of(len(absent), 'annotated clip')}, counted as empty ({named}); --clips leaves clips out",
    ]


def require_shared_clips(found: ClipList, annotated: list[str], predictions: str, root: Path) -> None:
    """Check that at least one clip has both masks and annotations, by the names of their folders.

    Raises:
        RunError: if none has: one of the two folders is another than it should be.
    """
    masks = _names(found)
    if is_table(root) or any(truth_folder(root, name).is_dir() for name in masks):
        return
    sides = f"{printable(predictions)} has {some(masks)}, {printable(root)} has {some(annotated) or 'none'}"
    folder = Path(predictions)
    meant = _with_clips(root, masks, folder) or _with_clips(folder, annotated, root)
    hint = f"; did you mean {printable(meant)}?" if meant else ""
    raise RunError(f"no clip has both masks and annotations: {sides}{hint}")


def _with_clips(folder: Path, names: list[str], other: Path) -> Path | None:
    """Return the folder near `folder`, but not `other`, that has a folder of one of the names, or None."""
    around = [near for near in nearby(folder) if near != other.absolute()]
    return next((near for near in around if any((near / name).is_dir() for name in names)), None)


def annotated_clips(root: Path, known: DataSet | None) -> list[str]:
    """Return the names of the clips with annotations; of a benchmark, only clips that its figures are averaged over."""
    if known and is_table(root):
        with suppress(PictureError):  # else the clips are set aside with the reason
            boxes = read_boxes(root)
            return [name for name in known.evaluated if name in boxes]
    if known:
        return [name for name in known.evaluated if truth_folder(root, name).is_dir()]
    folders = (folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    return sorted((folder.name for folder in folders if pictures(folder)), key=natural_key)


def without_masks(found: ClipList, annotated: list[str]) -> list[str]:
    """Return the annotated clips without masks."""
    there = set(_names(found))
    return [name for name in annotated if name not in there]


def _names(found: ClipList) -> list[str]:
    return [*(clip.path.name for clip in found.clips), *(item.name for item in found.set_aside)]


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
