"""Evaluate: masks against annotations, by the data set's own rules.

    for each clip with masks and annotations:  J and F, frame by frame
    over the clips:                            their mean

A clip whose annotations are missing or unusable is left unscored, with the reason.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from prefect import flow

from flows.report import Report, mean_scores
from flows.run import RunError, reason
from flows.runners import ONE_AT_A_TIME
from storage.annotations import open_annotations
from storage.clips import Clip, find_clips
from storage.masks import read_masks
from storage.published import full_name
from tasks.evaluation import Protocol, score_pairs
from tasks.progress import track


@flow(name="evaluate", task_runner=ONE_AT_A_TIME)
def evaluate(
    predictions: str,
    annotations: str,
    protocol: Protocol = "single",
    objects: int = 3,
    clips: list[str] | None = None,
    data_set: str | None = None,
) -> Report:
    """Score folders of indexed PNGs.

    Args:
        predictions: a folder with one folder of masks per clip.
        annotations: the same layout, or the root of a data set in DAVIS layout.
        protocol: single: one foreground, as the union of all objects and as the object that fits best, by the
            frame rule of DAVIS 2016; objects: each object with its own mask by assignment, all frames (DAVIS
            2017 unsupervised).
        objects: how many objects the masks may hold, for `single`.
        clips: names of the clips to score; all if none.
        data_set: one that the paper has figures on, whose frame rule is then followed: with `single`, only
            DAVIS2016 leaves out each clip's first and last frame. None: the rule of DAVIS2016.
    """
    began = time.monotonic()
    report = Report("evaluate", predictions)
    skip_ends = True
    if data_set:
        try:
            skip_ends = full_name(data_set) == "DAVIS2016"
        except ValueError as error:
            raise RunError(str(error)) from error
    try:
        found = find_clips(Path(predictions), only=clips or ())
    except (ValueError, OSError) as error:
        raise RunError(str(error)) from error
    root = annotation_root(Path(annotations))
    report.set_aside = {item.name: item.reason for item in found.set_aside}
    with track(len(found.clips), "evaluate") as advance:
        for clip in found.clips:
            try:
                scores, warnings = score_folder(clip, root, protocol, objects, skip_ends=skip_ends)
            except (ValueError, OSError) as error:
                report.set_aside[clip.name] = reason(error)
            else:
                report.clips[clip.name] = scores
                report.warnings += warnings
            advance(1)
    report.final = mean_scores(report.clips)
    report.seconds["total"] = time.monotonic() - began
    return report


def score_folder(
    clip: Clip, root: Path, protocol: Protocol, objects: int, *, skip_ends: bool = True
) -> tuple[dict[str, float], list[str]]:
    """Scores and warnings of one folder of masks.

    Raises:
        ValueError: where masks or annotations can't be used; names the file.
    """
    names = clip.frame_names(len(clip.files))
    folder = clip.path.parent, clip.path.name
    size = next(read_masks(*folder, names[:1])).shape
    labels = open_annotations(root, clip, names, size=(size[0], size[1]))

    def pairs() -> Iterator[tuple[np.ndarray | None, np.ndarray]]:
        known = set(labels.frames)
        for name, mask in zip(names, read_masks(*folder, names), strict=True):
            yield (labels.read(name) if name in known else None), mask

    scores, frames = score_pairs(
        pairs, protocol=protocol, objects=objects, clip=clip.name, skip_ends=skip_ends
    )
    return {"frames": frames, **scores}, labels.warnings


def annotation_root(folder: Path) -> Path:
    """Where the clips' annotation folders lie: in `folder`, or where a DAVIS layout keeps them.

    Raises:
        RunError: where there is no such folder.
    """
    if not folder.is_dir():
        raise RunError(f"there is no folder {folder} with annotations")
    if (folder / "JPEGImages").is_dir():
        located = find_clips(folder).annotations
        if located is None:
            raise RunError(f"{folder} has no Annotations")
        return located
    return folder
