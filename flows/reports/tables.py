"""Print a run's report as tables."""

import shlex
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from motion_adapt.flows.reports.metric_labels import STEPS
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.run.console import say
from motion_adapt.storage.names import count_of

STAGE_SCORES = tuple(f"{stage}/{name}" for stage, _ in STEPS for name in "JF")
# `matched` chooses an object with the annotation; SR is the score of boxes.
SCORES = (*STAGE_SCORES, "final/J_matched", "final/SR", "selection/AP")
SKIPPED = 5  # entries of the source that a line names; --json has all
CLIP_COLUMNS = ("frames", "J", "F", "J_matched", "SR", "coverage")


def print_rounds(console: Console, report: Report) -> None:
    """Print the rounds side by side, one line per metric: scores first, then label-free measures."""
    names = {name for item in report.rounds for name in item["metrics"]}
    scores = [name for name in SCORES if name in names]
    others = sorted(name for name in names if "/" not in name)
    title = "rounds" + (
        " (smoke weights: these figures only show that every stage runs)" if report.figures else ""
    )
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for item in report.rounds:
        table.add_column(f"round {item['round']}", justify="right")
    for name in (*scores, *others):
        values = [item["metrics"].get(name) for item in report.rounds]
        table.add_row(name, *(cell(value) for value in values))
    table.add_row("gate", *(item["decision"] for item in report.rounds))
    console.print(table)
    for item in report.rounds:
        for text in item["reasons"]:
            say(console, f"  round {item['round']}:", text)


def print_stages(console: Console, report: Report) -> None:
    """Print how often each stage was computed or found in the store."""
    table = Table(title="stages", title_justify="left")
    for column, side in (("stage", "left"), ("computed", "right"), ("cached", "right"), ("seconds", "right")):
        table.add_column(column, justify=side)  # type: ignore[arg-type]
    for name, count in report.stages.items():
        table.add_row(name, str(int(count["computed"])), str(int(count["cached"])), f"{count['seconds']:.1f}")
    console.print(table)


def print_clips(console: Console, report: Report) -> None:
    """Print one line per clip, their mean, and the clips that were set aside."""
    columns = [name for name in CLIP_COLUMNS if any(name in values for values in report.clips.values())]
    if report.clips:
        table = Table(title="clips", title_justify="left")
        table.add_column("")
        for column in columns:
            table.add_column(column, justify="right")
        for name, values in report.clips.items():
            table.add_row(Text(name), *(cell(values.get(column)) for column in columns))
        if len(report.clips) > 1 and report.final:
            table.add_section()
            table.add_row("mean", *(cell(report.final.get(column)) for column in columns))
        console.print(table)
    for name, values in report.clips.items():
        for text in values.get("alarms", ()):
            say(console, "alarm", f"{name}: {text}", "yellow")
    for name, why in report.set_aside.items():
        say(console, "set aside", f"{name}: {why}", "yellow")
    for why in dict.fromkeys(report.skipped.values()):
        paths = [path for path, reason in report.skipped.items() if reason == why]
        more = f" and {len(paths) - SKIPPED} more" if len(paths) > SKIPPED else ""
        what = (
            f"{paths[0]} {why}"
            if len(paths) == 1
            else f"{len(paths)}, each {why}: {', '.join(paths[:SKIPPED])}{more}"
        )
        say(console, "skipped", what, "yellow")
    if report.unscored:
        say(console, "unscored,", f"no usable annotations: {', '.join(report.unscored)}")


def print_spread(console: Console, runs: dict[str, dict[str, float]]) -> None:
    """Print the metrics of runs that differ only in their seed; if there are several, also mean and deviation."""
    import pandas as pd  # half a second, and most commands print no such table

    frame = pd.DataFrame(runs)
    if frame.empty:
        return
    table = Table(title="on synthetic clips that no training uses", title_justify="left")
    table.add_column("")
    for name in frame:
        table.add_column(str(name), justify="right")
    several = len(runs) > 1
    if several:
        table.add_column("mean ± std", justify="right")
    for name, values in frame.iterrows():
        spread = [f"{values.mean():.3f} ± {values.std():.3f}"] if several else []
        table.add_row(str(name), *(cell(float(value)) for value in values), *spread)
    console.print(table)


def print_report(console: Console, report: Report) -> None:
    """Print the whole report at the end of a run."""
    print_clips(console, report)
    if report.rounds:
        print_rounds(console, report)
    if report.stages:
        print_stages(console, report)
    if report.champion:
        say(console, "champion:", report.champion)
    for name, text in report.provenance.items():
        say(console, f"{name}:", text)
    if report.output:
        say(console, "written to", report.output)
    if report.doubtful:
        say(
            console,
            "doubtful:",
            f"{count_of(len(report.doubtful), 'frame')} to look at: motion-adapt review {shlex.quote(report.output)}",
        )
    if report.mlflow:
        uri = shlex.quote(report.mlflow["uri"])
        where = f"--backend-store-uri {uri} (experiment '{report.mlflow['experiment']}')"
        say(console, "MLflow:", f"mlflow ui {where}")


def cell(value: Any) -> str:
    """Format a value for a table."""
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
