"""A research repository with models/, tasks.py, flows.py and storage.py of its own in the current directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_house import MODULES

MAIN = "from motion_adapt.flows.cli.app import main; main()"
IMPORT_ALL = f"from importlib import import_module; [*map(import_module, {sorted(MODULES)})]"


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


def test_neither_the_package_nor_the_command_line_sees_it(repository: Path) -> None:
    told = run(repository, f"import motion_adapt; print(motion_adapt.segment); {MAIN}", "--version")
    first, last = told.splitlines()
    assert first.startswith("<function segment") and last.startswith("motion-adapt ")


@pytest.mark.slow
def test_no_module_of_the_package_sees_it(repository: Path) -> None:
    run(repository, IMPORT_ALL)
    assert "ready to run" in run(repository, MAIN, "doctor")
