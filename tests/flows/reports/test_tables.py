"""The printed report of a run."""

import io
import shlex

from rich.console import Console

from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.reports.tables import print_report


def printed(report: Report) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    print_report(console, report)
    return console.export_text()


def test_suggested_commands_can_be_copied() -> None:
    """Paths in them may have spaces."""
    uri = "sqlite:///my films/mlflow.db"
    report = Report(
        "adapt", "films", doubtful=[{}], output="my films", mlflow={"uri": uri, "experiment": "x"}
    )
    lines = printed(report).splitlines()
    assert "1 frame to look at" in printed(report)
    review, mlflow = (next(line for line in lines if word in line) for word in ("review", "mlflow ui"))
    assert shlex.split(review)[-3:] == ["motion-adapt", "review", "my films"]
    assert shlex.split(mlflow)[1:5] == ["mlflow", "ui", "--backend-store-uri", uri]
