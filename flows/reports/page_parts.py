"""The parts of an adaptation's page, computed from the report and the tables for the template."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from motion_adapt.flows.reports.charts import Chart, line_chart, scatter, shown
from motion_adapt.flows.reports.compare import ClipComparison
from motion_adapt.flows.reports.metric_labels import FIRST_KEPT, MEASURES, SMALL, STEPS, VERDICTS
from motion_adapt.storage.tracking import flatten
from motion_adapt.tasks.settings import Settings

FAINT_LINES = 40  # clips drawn behind the means; more would be unreadable
STEP_WIDTH = 105  # of the staircase, in view box units: room for the longest name of a step


def tiles(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the key figures at the top of the page: (title, figure, note)."""
    rounds, kept = report["rounds"], report["final"]["round"]
    first, last = rounds[0]["metrics"], rounds[kept]["metrics"]
    frames = sum(clip["frames"] for clip in report["clips"].values())
    found = [("Clips", str(len(report["clips"])), f"{frames} frames")]
    if "final/J" in last:
        gain = _signed(last["final/J"] - first.get("proposal/J", last["final/J"]), True)
        found.append(("Final J", shown(last["final/J"], True), f"{gain} over the first proposals"))
        if "final/F" in last:
            found.append(("Final F", shown(last["final/F"], True), "contours"))
    if "quality" in last:
        change = _signed(last["quality"] - first.get("quality", last["quality"]), False)
        note = f"{change} over round 0" if kept else "round 0"
        found.append(("Label-free quality", shown(last["quality"], False), note))
    alarmed = sum(bool(clip.get("alarms")) for clip in report["clips"].values())
    found.append(("Alarms", str(alarmed), "clips" if alarmed != 1 else "clip"))
    seconds = sum(value for name, value in last.items() if name.startswith("seconds_per_frame/"))
    found.append(("Seconds per frame", f"{seconds:.2f}", "from frames to masks"))
    return found


def staircase(rounds: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Draw J and F step by step through the rounds; None without labels."""
    steps: list[str] = []
    lines: dict[str, list[float | None]] = {"J": [], "F": []}
    for item in rounds:
        for stage, words in STEPS:
            if f"{stage}/J" in item["metrics"]:
                steps.append(f"{item['round']} · {words}")
                for name, line in lines.items():
                    line.append(item["metrics"].get(f"{stage}/{name}"))
    width = max(980, STEP_WIDTH * len(steps))
    return line_chart(lines, steps, width=width, height=300, percent=True) if steps else None


def figure_rows(rounds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the table of metrics: a line per metric, with each round's value and whether it got better."""
    rows = []
    for name, words in MEASURES.items():
        values = [item["metrics"].get(name) for item in rounds]
        if all(value is None for value in values):
            continue
        cells: list[dict[str, str]] = []
        before = None
        for value in values:
            change = None if value is None or before is None else value - before
            cells.append(
                {
                    "value": "" if value is None else shown(value, words.percent),
                    "change": "" if change is None else _signed(change, words.percent),
                    "tone": _tone(change, words.better),
                }
            )
            before = value
        rows.append(
            {"title": words.title, "meaning": words.meaning, "percent": words.percent, "cells": cells}
        )
    return rows


def decisions(rounds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the gate's verdict on each round, in words."""
    told = []
    for position, item in enumerate(rounds):
        verdict, words = VERDICTS[item["decision"]]
        if not position:
            words = FIRST_KEPT
        reasons = []
        for text in item["reasons"]:
            name, _, rest = text.partition(" ")
            known = MEASURES.get(name)
            reasons.append((known.title if known else "", rest if known else text))
        told.append({**item, "verdict": verdict, "words": words, "reasons": reasons})
    return told


def small_multiples(tables: Mapping[int, pd.DataFrame]) -> list[dict[str, Any]]:
    """Draw a chart per label-free measure: the mean over the rounds, with single clips faint behind it."""
    steps = [f"round {index}" for index in tables]
    found = []
    for name in SMALL:
        by_round = [t.set_index("clip")[name].astype(float) if name in t else None for t in tables.values()]
        if any(values is None or values.isna().all() for values in by_round):
            continue
        known = [values for values in by_round if values is not None]
        clips = {str(clip): [_plain(v.get(clip)) for v in known] for clip in known[-1].index[:FAINT_LINES]}
        means = {"mean": [float(values.mean()) for values in known]}
        words = MEASURES[name]
        chart = line_chart(means, steps, faint=clips, width=300, height=190, percent=words.percent)
        found.append({"words": words, "chart": chart})
    return found


def clip_rows(clips: ClipComparison, kept: pd.DataFrame, pictures: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the clips, worst first, with their strips as data URIs."""
    percent = MEASURES[clips.measure].percent
    values = [name for name in clips.table if name.startswith("round ")]
    details, rows = kept.set_index("clip"), []
    for _, row in clips.table.iterrows():
        name = str(row["clip"])
        numbers = [_plain(row[column]) for column in values]
        last, change = numbers[-1], _plain(row["change"])
        facts = details.loc[name] if name in details.index else {}
        rows.append(
            {
                "name": name,
                "frames": int(facts["frames"]) if "frames" in facts else None,
                "values": ["" if value is None else shown(value, percent) for value in numbers],
                "bar": 100 * min(max(last or 0, 0), 1),
                "change": "" if change is None else _signed(change, percent),
                "tone": _tone(change, 1),
                "alarms": row["alarms"],
                "facts": [
                    (MEASURES[key].title, shown(float(facts[key]), MEASURES[key].percent))
                    for key in MEASURES
                    if key in facts and not pd.isna(facts[key])
                ],
                "strip": pictures.get(name, ""),
            }
        )
    return rows


def mean_row(clips: ClipComparison) -> dict[str, Any]:
    """Return the line of means below the clips."""
    percent, means = MEASURES[clips.measure].percent, clips.records()[-1]
    change = means.get("change")
    numbers = [means.get(name) for name in clips.table if name.startswith("round ")]
    return {
        "values": ["" if value is None else shown(value, percent) for value in numbers],
        "change": "" if change is None else _signed(change, percent),
        "tone": _tone(change, 1),
    }


def quality_plot(clips: pd.DataFrame) -> Chart | None:
    """Draw label-free quality against J for the clips that have both; None for fewer than two."""
    if not {"quality", "final/J"} <= set(clips):
        return None
    both = clips[["clip", "quality", "final/J"]].dropna()
    points = [(str(name), float(x), float(y)) for name, x, y in both.itertuples(index=False)]
    return scatter(points) if len(points) > 1 else None


def ranking(metrics: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return Spearman's correlation of each label-free measure with J, strongest first."""
    found = [
        (MEASURES[name.removeprefix("spearman/")].title, value)
        for name, value in metrics.items()
        if name.startswith("spearman/")
    ]
    return sorted(found, key=lambda item: -abs(item[1]))


def settings_groups(params: Mapping[str, str]) -> dict[str, list[tuple[str, str, bool]]]:
    """Return the run's settings by group: (name, value, whether it differs from the default)."""
    defaults = {name: str(value) for name, value in flatten(Settings().model_dump(mode="json")).items()}
    groups: dict[str, list[tuple[str, str, bool]]] = {}
    for name, value in sorted(params.items()):
        group, _, rest = name.rpartition(".")
        groups.setdefault(group or "general", []).append((rest, value, defaults.get(name, value) != value))
    return groups


def _plain(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _signed(change: float, percent: bool) -> str:
    text = f"{100 * change:+.1f}" if percent else f"{change:+.3f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _tone(change: float | None, better: int) -> str:
    if change is None or not better or abs(change) < 5e-4:
        return "even"
    return "good" if change * better > 0 else "bad"
