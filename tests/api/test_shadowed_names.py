"""A research repository with models/, tasks.py, flows.py and storage.py of its own in the current directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = "from motion_adapt.flows.cli.app import main; main()"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for module in ("models/__init__", "tasks", "flows", "storage"):
        path = tmp_path / f"{module}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise ImportError('a module of the user, not of motion_adapt')\n", encoding="utf-8")
    return tmp_path


def run(repository: Path, code: str, *arguments: str) -> str:
    """What Python prints that looks for modules in the repository first."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    assert "ImportError" not in done.stderr, done.stderr
    return done.stdout


def test_the_command_line_and_the_package_do_not_see_it(repository: Path) -> None:
    assert run(repository, MAIN, "--version").startswith("motion-adapt ")
    told = run(repository, f"import motion_adapt; print(motion_adapt.segment); {MAIN}", "doctor")
    assert told.startswith("<function segment")
    assert "ready to run" in told
