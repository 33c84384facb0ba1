"""Round against round: the rounds of an experiment side by side, from MLflow."""

import pandas as pd
from rich.console import Console
from rich.table import Table

from flows.ledger import Tracking
from flows.run import RunError
from storage.tracking import PARENT_TAG

SHOWN = (
    "proposal/J",
    "adapted/J",
    "corrected/J",
    "final/J",
    "final/F",
    "exemplar_error",
    "frame_error",
    "agreement_proposal",
    "agreement_previous",
    "flow_consistency",
    "empty_frames",
)


def compare_rounds(tracking: Tracking) -> pd.DataFrame:
    """One row per round: its adaptation, its metrics, and the difference of each to the round before (`d ...`).

    Raises:
        RunError: where the experiment has no rounds.
    """
    tracker = tracking.open(tracking.experiment)
    champion = tracker.champion()
    rows = []
    for run in tracker.rounds():
        tags = run.data.tags
        row: dict[str, object] = {
            "adaptation": tracker.get(tags[PARENT_TAG]).info.run_name,
            "round": int(tags["round"]),
            "gate": tags.get("decision", ""),
            "figures": tags.get("figures", ""),
            "champion": bool(champion and champion[1] == run.info.run_id),
            "run": run.info.run_id,
        }
        rows.append(
            row | {name: value for name, value in run.data.metrics.items() if not name.startswith("train/")}
        )
    if not rows:
        raise RunError(f"experiment '{tracking.experiment}' at {tracking.uri} has no rounds yet")
    table = pd.DataFrame(rows)
    for name in SHOWN:
        if name in table:
            table[f"d {name}"] = table.groupby("adaptation", sort=False)[name].diff()
    return table


def print_comparison(console: Console, table: pd.DataFrame) -> None:
    """One table per adaptation: rounds as columns, figures as lines, differences to the round before in brackets."""
    for adaptation, rows in table.groupby("adaptation", sort=False):
        printed = Table(title=str(adaptation), title_justify="left")
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


def figure(value: float, change: float) -> str:
    """A figure with its difference to the round before."""
    if pd.isna(value):
        return ""
    return f"{value:.3f}" if pd.isna(change) else f"{value:.3f} ({change:+.3f})"
