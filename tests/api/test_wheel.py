"""A wheel built from the checkout has every module and every file that the package reads, and nothing else.

Installed away from the checkout, it runs the demo and the examples.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.conftest import write_example
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel of a copy of the checkout."""
    pytest.importorskip("setuptools", minversion="77", reason="pyproject.toml wants setuptools 77 to build")
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "checkout"
    for floor in FLOORS:
        shutil.copytree(ROOT / floor, copy / floor, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    built = subprocess.run([sys.executable, "-c", BUILD, folder], cwd=copy, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert "Warning" not in built.stderr
    shutil.rmtree(copy)  # nothing may be read from it
    return next(folder.glob("*.whl"))


def test_a_wheel_has_all_that_is_read_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {
        name.replace(".", "/") + ("/__init__.py" if path.name == "__init__.py" else ".py")
        for name, path in MODULES.items()
    }
    assert found == modules | set(READ)


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Callable[..., str]:
    """Install the wheel in an environment of its own; return a function that runs a program of it in `tmp_path`."""
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    pip = (environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    subprocess.run(pip, check=True)
    # The other packages are those of this environment. What a .pth file adds comes last, and the .pth files in it are
    # not read: so an editable install of the checkout is not seen.
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PREFECT"))
    }
    variables["PREFECT_HOME"] = str(tmp_path / "prefect")

    def run(program: str, *arguments: object) -> str:
        command = [environment / "bin" / program, *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.slow
def test_an_installed_wheel_runs_the_demo_and_the_examples(
    installed: Callable[..., str], tmp_path: Path
) -> None:
    where = installed("python", "-c", "import motion_adapt.flows; print(motion_adapt.flows.__file__)")
    assert where.startswith(str(tmp_path / "environment"))
    assert "round 1" in installed("motion-adapt", "demo", "demo")
    assert len(list((tmp_path / "demo" / "results" / "masks").glob("*/*.png"))) > 0
    write_example(tmp_path)
    for name, output in (("segment_a_video", "results"), ("plain_functions", "plain")):
        installed("python", ROOT / "examples" / f"{name}.py", "clips", output)
        assert len(list((tmp_path / output).rglob("heron/*.png"))) > 0
