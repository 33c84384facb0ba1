"""Comparison of the rounds of an experiment with several adaptations."""

import shutil
from pathlib import Path

import pytest
from rich.console import Console

from motion_adapt.flows.reports.compare import compare_rounds, print_comparison
from motion_adapt.flows.run.tracking import Tracking


def test_adaptations_of_one_name_are_compared_each_with_itself(empty_database: Path, tmp_path: Path) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    tracking = Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="clips")
    tracker = tracking.open("")
    parents = [
        tracker.begin(kind="adaptation", key=key, name="clips 2030-01-01 12:00", params={}) for key in "ab"
    ]
    for index, scores in enumerate([(0.5, 0.1), (0.6, 0.4)]):  # both at the same time
        for parent, score in zip(parents, scores, strict=True):
            run = tracker.begin(
                kind="round",
                key=f"{parent}-{index}",
                name=f"round {index}",
                params={},
                tags={"round": str(index)},
                parent=parent,
            )
            tracker.log(run, {"final/J": score})
    table = compare_rounds(tracking)
    changes = {(row["adaptation_run"], row["round"]): row["d final/J"] for _, row in table.iterrows()}
    assert [changes[parent, 1] for parent in parents] == pytest.approx([0.1, 0.3])
    assert table["d final/J"].isna().sum() == 2  # round 0 of each
    console = Console(record=True, width=120)
    print_comparison(console, table)
    assert console.export_text().count("clips 2030-01-01 12:00") == 2
