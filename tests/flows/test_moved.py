"""A project folder that was moved: every command works in the new place and leaves the old one alone."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from typer.testing import CliRunner

from motion_adapt.flows.cli.app import app
from motion_adapt.flows.reports.run_report import Report
from tests.flows.conftest import Home


def moved(first: Home, place: Path) -> tuple[Home, Path]:
    """Return a copy of a home whose records name another, missing place, as after `mv`; and that place."""
    shutil.copytree(first.path, place)
    gone = place.parent / "gone"
    with closing(sqlite3.connect(place / "mlflow.db")) as database, database:
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("model_versions", "source"),
        ):
            database.execute(f"UPDATE {table} SET {column} = replace({column}, '{first.path}', '{gone}')")
    return Home(place, first.weights), gone


def test_a_moved_project_works_in_its_new_place(adapted: tuple[Home, Report], tmp_path: Path) -> None:
    home, gone = moved(adapted[0], tmp_path / "moved")
    uri = ["--tracking-uri", home.tracking.uri]
    page = tmp_path / "page.html"
    for command in (["report", "clips", *uri, "--output", str(page)], ["rounds", "clips", *uri]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
    assert "round 1" in page.read_text(encoding="utf-8")

    again = home.adapt()
    assert again.recomputed == 0
    assert again.mlflow["run"] == adapted[1].mlflow["run"]
    champion = home.segment(weights=None, from_champion=True)
    assert champion.clips.keys() == again.clips.keys()
    assert not gone.exists()
