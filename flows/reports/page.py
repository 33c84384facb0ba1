"""The page of an adaptation: one self-contained HTML file, built from the records in MLflow.

Pictures are data URIs and the style is inline; the page's content security policy forbids any request. Names of clips
are not trusted: the template escapes every text.
"""

import base64
import io
import json
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from PIL import Image

from motion_adapt.flows.reports.charts import curve_chart
from motion_adapt.flows.reports.compare import clip_tables, compare_clips
from motion_adapt.flows.reports.metric_labels import MEASURES
from motion_adapt.flows.reports.page_parts import (
    clip_rows,
    decisions,
    figure_rows,
    mean_row,
    quality_plot,
    ranking,
    settings_groups,
    small_multiples,
    staircase,
    tiles,
)
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.tracking import Tracking
from motion_adapt.storage.atomic import whole_file
from motion_adapt.storage.tracking import PARENT_TAG, Tracker

GALLERY = 60  # doubtful frames on the page, at most
STRIP_WIDTH = 1500  # pixels, maximum on the page; MLflow and the results have strips in full size


def write_page(path: Path, tracking: Tracking, *, run: str | None = None, strips: int = 24) -> None:
    """Write the page of the adaptation with the id `run`, else of the experiment's latest that has ended.

    Raises:
        RunError: if there is no such adaptation.
    """
    tracker = tracking.open(tracking.experiment, create=False)
    where = f"experiment '{tracking.experiment}' at {tracking.shown}"
    ids = [found.info.run_id for found in tracker.adaptations()]
    if run and run not in ids:
        raise RunError(f"--run {run}: {where} has no such adaptation; it has {', '.join(ids) or 'none yet'}")
    wanted = [run] if run else ids
    parent = next((name for name in wanted if tracker.read(name, "report.json")), None)
    if parent is None:
        raise RunError(f"{where} has no adaptation that has ended" + (f" with the run {run}" if run else ""))
    text = page(tracker, parent, strips=strips)
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def page(tracker: Tracker, parent: str, *, strips: int = 24) -> str:
    """Return the page of an adaptation that has ended, as HTML."""
    run = tracker.get(parent)
    report = json.loads(tracker.read(parent, "report.json") or b"{}")
    rounds = [item for item in tracker.rounds() if item.data.tags[PARENT_TAG] == parent]
    tables = clip_tables(tracker, rounds)
    clips = compare_clips(tables)
    kept = report["final"]["round"]
    kept_run = next(item.info.run_id for item in rounds if int(item.data.tags["round"]) == kept)
    names = [str(name) for name in clips.table["clip"]][:strips]
    strip_files = ((name, tracker.read(kept_run, f"strips/{name}.png")) for name in names)
    pictures = {name: data_uri(smaller(png)) for name, png in strip_files if png}
    doubtful = report.get("doubtful", [])  # a report of an earlier version has none
    gallery = [
        {**item, "picture": data_uri(jpeg)}
        for item in sorted(doubtful, key=lambda item: -item["doubt"])[:GALLERY]
        if (jpeg := tracker.read(kept_run, f"doubtful/{item['clip']}/{item['frame']}.jpg"))
    ]
    curves = {
        f"{name.removeprefix('train/')}, round {item.data.tags['round']}": tracker.history(
            item.info.run_id, name
        )
        for item in rounds
        for name in sorted(item.data.metrics)
        if name.startswith("train/") and name.endswith("/loss")
    }
    return _template().render(
        name=run.info.run_name,
        experiment=tracker.experiment,
        run_id=parent,
        report=report,
        kept=kept,
        labelled=clips.measure == "final/J",
        tiles=tiles(report),
        staircase=staircase(report["rounds"]),
        figures=figure_rows(report["rounds"]),
        decisions=decisions(report["rounds"]),
        small=small_multiples(tables),
        clips=clip_rows(clips, tables[kept], pictures),
        mean=mean_row(clips),
        gallery=gallery,
        by_hand=sum(map(len, report.get("by_hand", {}).values())),
        measure=MEASURES[clips.measure].title,
        rounds=[f"round {index}" for index in tables],
        plot=quality_plot(tables[kept]),
        ranking=ranking(report["rounds"][kept]["metrics"]),
        curves={name: curve_chart(points) for name, points in curves.items() if len(points) > 1},
        settings=settings_groups(run.data.params),
        start={name[6:]: ref for name, ref in sorted(run.data.tags.items()) if name.startswith("start.")},
        stages=[(name, count) for name, count in report["stages"].items() if name != "weights"],
    )


@cache
def _template() -> Template:
    loader = PackageLoader("motion_adapt.flows.reports", ".")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template("page.html")


def smaller(png: bytes, width: int = STRIP_WIDTH) -> bytes:
    """Return a picture as JPEG, at most `width` pixels wide."""
    with Image.open(io.BytesIO(png)) as image:
        image.thumbnail((width, 10 * width), Image.Resampling.HAMMING)
        data = io.BytesIO()
        # a quarter larger than as WebP, in an eighth of the time
        image.convert("RGB").save(data, "JPEG", quality=80)
    return data.getvalue()


def data_uri(jpeg: bytes) -> str:
    """Return a picture as a data URI."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
