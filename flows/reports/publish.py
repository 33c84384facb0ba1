"""Publish the comparison of an adaptation's rounds: in Prefect, in MLflow and as a page."""

import re
from pathlib import Path

from prefect.artifacts import create_table_artifact

from motion_adapt.flows.reports.compare import clip_tables, compare_clips, round_table
from motion_adapt.flows.reports.page import page
from motion_adapt.storage.atomic import whole_file
from motion_adapt.storage.names import mark
from motion_adapt.storage.tracking import PARENT_TAG, Tracker

PAGE = "report.html"


def publish_comparison(tracker: Tracker, parent: str, folder: Path) -> None:
    """Publish the comparison of an adaptation that has ended and is recorded completely.

    Creates a Prefect table artifact `rounds-<experiment>` with the clips, worst first; the tables `rounds` and
    `rounds_by_clip` of the MLflow run; and the page report.html, in `folder` and in MLflow.

    Raises:
        RunError: if no clip has a metric to compare.
    """
    runs = [run for run in tracker.rounds() if run.data.tags[PARENT_TAG] == parent]
    clips = compare_clips(clip_tables(tracker, runs))
    tracker.table(parent, round_table(tracker, runs), "rounds")
    tracker.table(parent, clips.table, "rounds_by_clip")
    create_table_artifact(
        key=artifact_key(tracker.experiment),
        table=clips.records(),
        description=f"{clips.measure} by clip and round, worst first",
    )
    text = page(tracker, parent)
    with whole_file(folder / PAGE) as partial:
        partial.write_text(text, encoding="utf-8")
    tracker.files(parent, [folder / PAGE], "page")


def artifact_key(experiment: str) -> str:
    """Return a key that Prefect accepts, of lower-case letters, digits and dashes; no two experiments share one."""
    words = re.findall("[a-z0-9]+", experiment.lower())
    plain = "-".join(words) == experiment
    return "-".join(["rounds", *words, *([] if plain else [mark(experiment)])])
