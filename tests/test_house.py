"""Package structure: imports go one way and never in a circle, and every package is installed."""

import ast
import re
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FLOORS = ("storage", "models", "tasks", "flows", "motion_adapt")
BELOW = {"storage": (), "models": (), "tasks": ("storage", "models"), "flows": ("storage", "models", "tasks")}
ORCHESTRATION = {"prefect", "prefect_dask", "dask", "distributed", "mlflow", "zarr"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts if parts[0] == "motion_adapt" else ("motion_adapt", *parts))


MODULES = {module_name(path): path for floor in FLOORS for path in (ROOT / floor).rglob("*.py")}


def imports(path: Path) -> Iterator[str]:
    """Return every module that a file imports anywhere, also for types only or within a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)


GRAPH = {name: set(imports(path)) for name, path in MODULES.items()}


def floor_of(module: str) -> str:
    return module.split(".")[1] if module.count(".") else "motion_adapt"


def test_no_files_import_each_other_in_a_circle() -> None:
    ours = {name: {other for other in found if other in MODULES} for name, found in GRAPH.items()}
    TopologicalSorter(ours).prepare()  # raises CycleError with the files of the circle


@pytest.mark.parametrize("floor", BELOW)
def test_imports_run_one_way(floor: str) -> None:
    upward = [
        (name, other)
        for name, found in GRAPH.items()
        if floor_of(name) == floor
        for other in found & set(MODULES)
        if floor_of(other) not in (floor, *BELOW[floor]) and other != "motion_adapt"
    ]
    assert not upward


def test_models_know_no_orchestration_and_no_store() -> None:
    known = {name: {found.split(".")[0] for found in GRAPH[name]} & ORCHESTRATION for name in GRAPH}
    assert not {name: found for name, found in known.items() if found and floor_of(name) == "models"}


def test_flows_hold_no_arrays() -> None:
    arrays = {"numpy", "cv2"}
    assert not {name for name in GRAPH if floor_of(name) == "flows" and GRAPH[name] & arrays}


def test_every_room_is_installed() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    rooms = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert set(setuptools["packages"]) == rooms
    assert {module.rpartition(".")[0] for module in MODULES if module not in rooms} <= rooms


def test_no_module_is_imported_by_its_old_name() -> None:
    old = [
        (path.name, number)
        for folder in (*FLOORS, "tests", "benchmarks", "docs", "examples")
        for path in (ROOT / folder).rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if line.strip().startswith(tuple(f"from {floor}{end}" for floor in BELOW for end in (".", " ")))
    ]
    assert not old


def test_a_commit_is_checked_as_make_check_does() -> None:
    """Every hook is local, so it needs no network, and calls one of the targets of `make check`."""
    found = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert {item["repo"] for item in found} == {"local"}
    hooks = [hook["entry"] for item in found for hook in item["hooks"]]
    (targets,) = re.findall(r"^check: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert hooks == [f"make {target}" for target in targets.split()]
