"""Compare the rounds of an experiment, as means and clip by clip, from MLflow."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.tracking import Tracking
from motion_adapt.storage.atomic import whole_file
from motion_adapt.storage.registry import Registry
from motion_adapt.storage.tracking import PARENT_TAG, Tracker

if TYPE_CHECKING:
    from mlflow.entities import Run

SHOWN = (
    "proposal/J",
    "adapted/J",
    "corrected/J",
    "per_clip/J",
    "smoothed/J",
    "second_opinion/J",
    "clip_network/J",
    "edges/J",
    "before_sam/J",
    "final/J",
    "final/F",
    "final/SR",
    "selection/AP",
    "quality",
    "exemplar_error",
    "frame_error",
    "agreement_proposal",
    "agreement_previous",
    "flow_consistency",
    "empty_frames",
    "identity_switches",
    "alarmed_clips",
    "spearman/quality",
)
# Clips are ranked by the first of these that they have.
RANKED_BY = ("final/J", "quality", "flow_consistency")


@dataclass(frozen=True)
class ClipComparison:
    """The clips of an adaptation, round by round, worst first.

    table: clip, `round 0`, `round 1`, ..., change (from the round before to the last one), alarms.
    """

    measure: str  # the measure that ranks the clips, one of RANKED_BY
    table: pd.DataFrame

    def records(self) -> list[dict[str, Any]]:
        """Return the rows and their mean as plain values; missing ones are None."""
        numbers = self.table.select_dtypes("number").mean()
        rows = [*self.table.to_dict("records"), {"clip": "mean", **numbers.to_dict()}]
        return [{str(name): None if pd.isna(value) else value for name, value in row.items()} for row in rows]


def compare_rounds(tracking: Tracking) -> pd.DataFrame:
    """Return one row per round: its adaptation, its metrics, and their differences to the round before (`d ...`).

    Raises:
        RunError: if the experiment has no rounds.
    """
    tracker = tracking.open(tracking.experiment, create=False)
    runs = tracker.rounds()
    if not runs:
        raise RunError(f"experiment '{tracking.experiment}' at {tracking.shown} has no rounds yet")
    return round_table(tracker, runs)


def round_table(tracker: Tracker, runs: list["Run"]) -> pd.DataFrame:
    """Return the table of `compare_rounds` for some rounds."""
    champion = Registry(tracker).champion()
    rows = []
    for run in runs:
        tags = run.data.tags
        row: dict[str, object] = {
            "adaptation": tracker.get(tags[PARENT_TAG]).info.run_name,  # not unique within a minute
            "adaptation_run": tags[PARENT_TAG],
            "round": int(tags["round"]),
            "gate": tags.get("decision", ""),
            "figures": tags.get("figures", ""),
            "champion": bool(champion and champion[1] == run.info.run_id),
            "run": run.info.run_id,
        }
        rows.append(
            row | {name: value for name, value in run.data.metrics.items() if not name.startswith("train/")}
        )
    table = pd.DataFrame(rows)
    for name in SHOWN:
        if name in table:
            table[f"d {name}"] = table.groupby("adaptation_run", sort=False)[name].diff()
    return table


def clip_tables(tracker: Tracker, runs: list["Run"]) -> dict[int, pd.DataFrame]:
    """Return the per-clip table of each round of an adaptation, in order."""
    found = {int(run.data.tags["round"]): tracker.read_table(run.info.run_id, "clips") for run in runs}
    return {index: table for index, table in sorted(found.items()) if table is not None}


def compare_clips(rounds: Mapping[int, pd.DataFrame]) -> ClipComparison:
    """Compare the rounds' per-clip tables.

    Clips are ranked by the last round; those that it could not measure come last. Ties keep their order.

    Raises:
        RunError: if no table has a measure to rank by.
    """
    named = {index: table.set_index("clip") for index, table in rounds.items()}
    measure = next(
        (
            name
            for name in RANKED_BY
            if any(name in table and table[name].notna().any() for table in named.values())
        ),
        None,
    )
    if measure is None:
        raise RunError("no round has per-clip figures to compare")
    table = pd.DataFrame(
        {f"round {i}": t[measure].astype(float) if measure in t else None for i, t in named.items()}
    )
    last = named[max(named)]
    table["change"] = table.iloc[:, -1] - table.iloc[:, -2] if len(named) > 1 else float("nan")
    table["alarms"] = last["alarms"].reindex(table.index).fillna("") if "alarms" in last else ""
    ranked = table.sort_values(f"round {max(named)}", kind="stable", na_position="last")
    return ClipComparison(measure, ranked.rename_axis("clip").reset_index())


def latest_clips(tracking: Tracking) -> ClipComparison | None:
    """Compare the clips of the experiment's latest adaptation. Returns None if its rounds have no per-clip metrics."""
    tracker = tracking.open(tracking.experiment, create=False)
    runs = tracker.rounds()
    parents = [run.data.tags[PARENT_TAG] for run in runs]
    newest = next(
        (found.info.run_id for found in tracker.adaptations() if found.info.run_id in parents), parents[-1]
    )  # if all adaptations were deleted in MLflow, that of the last round
    tables = clip_tables(
        tracker, [run for run, parent in zip(runs, parents, strict=True) if parent == newest]
    )
    try:
        return compare_clips(tables) if tables else None
    except RunError:
        return None


def write_comparison(folder: Path, tracking: Tracking, rounds: pd.DataFrame) -> None:
    """Write rounds.csv, one line per round, and clips.csv, one line per round and clip, with all metrics."""
    tracker = tracking.open(tracking.experiment, create=False)
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for _, row in rounds.iterrows():
        table = tracker.read_table(str(row["run"]), "clips")
        if table is not None:
            parts.append(
                table.assign(**{name: row[name] for name in ("adaptation", "adaptation_run", "round")})
            )
    for name, table in (("rounds", rounds), ("clips", pd.concat(parts) if parts else pd.DataFrame())):
        with whole_file(folder / f"{name}.csv") as partial:
            table.to_csv(partial, index=False)


def print_comparison(console: Console, table: pd.DataFrame) -> None:
    """Print one table per adaptation: a column per round, a line per metric, changes in brackets."""
    for _, rows in table.groupby("adaptation_run", sort=False):
        printed = Table(title=escape(str(rows["adaptation"].iloc[0])), title_justify="left")
        printed.add_column("")
        for _, row in rows.iterrows():
            star = ", champion" if row["champion"] else ""
            printed.add_column(f"round {row['round']}{star}", justify="right")
        for name in SHOWN:
            if name in table and rows[name].notna().any():
                changes = zip(rows[name], rows[f"d {name}"], strict=True)
                printed.add_row(name, *(figure(value, change) for value, change in changes))
        printed.add_row("gate", *rows["gate"])
        if rows["figures"].any():
            printed.add_row("figures", *rows["figures"])
        console.print(printed)


def print_clips(console: Console, comparison: ClipComparison, most: int = 20) -> None:
    """Print the worst clips, at most `most` of them, and the mean of all."""
    rows = comparison.records()
    clips, mean = rows[:-1], rows[-1]
    title = f"{comparison.measure} by clip, worst first"
    printed = Table(
        title=title + (f" ({most} of {len(clips)})" if len(clips) > most else ""), title_justify="left"
    )
    columns = [name for name in clips[0] if name not in ("clip", "alarms")]
    printed.add_column("")
    for name in columns:
        printed.add_column(name, justify="right")
    printed.add_column("alarms")
    for row in clips[:most]:
        values = [_cell(name, row.get(name)) for name in columns]
        printed.add_row(Text(str(row["clip"])), *values, row.get("alarms") or "")
    printed.add_section()
    printed.add_row("mean", *(_cell(name, mean.get(name)) for name in columns), "")
    console.print(printed)


def figure(value: float, change: float) -> str:
    """Format a metric with its difference to the round before."""
    if pd.isna(value):
        return ""
    return f"{value:.3f}" if pd.isna(change) else f"{value:.3f} ({change:+.3f})"


def _cell(name: str, value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}" if name == "change" else f"{value:.3f}"
