"""A wheel built from the checkout has every module and every file that the package reads, and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.test_house import FLOORS, MODULES, ROOT

BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
READ = (
    "motion_adapt/py.typed",
    "motion_adapt/flows/reports/page.html",
    "motion_adapt/storage/datasets/clips.json",
    "motion_adapt/storage/datasets/paper_figures.csv",
    "motion_adapt/models/weights/compact/README.md",
    *(
        f"motion_adapt/models/weights/compact/{model}.safetensors"
        for model in ("features", "oclr", "selector", "corrector", "clip_network")
    ),
)


def test_a_wheel_has_all_that_is_read_and_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77", reason="pyproject.toml wants setuptools 77 to build")
    copy = tmp_path / "checkout"
    for floor in FLOORS:
        shutil.copytree(ROOT / floor, copy / floor, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    built = subprocess.run([sys.executable, "-c", BUILD, tmp_path], cwd=copy, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert "Warning" not in built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {
        name.replace(".", "/") + ("/__init__.py" if path.name == "__init__.py" else ".py")
        for name, path in MODULES.items()
    }
    assert found == modules | set(READ)
