"""Reference results of the authors' implementation, from the folder that MOTION_ADAPT_PARITY names.

Every test of one kind of fixture runs on every file of that kind, so that new fixtures are used automatically.
"""

import importlib.util
import json
import os
from collections.abc import Collection
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

VARIABLE = "MOTION_ADAPT_PARITY"


def fixtures(*patterns: str) -> list[Any]:
    """Return parameters for pytest: the paths of the fixtures, or one skipped parameter without the folder."""
    folder = _folder()
    if folder is None:
        reason = f"{VARIABLE} does not name a folder of parity fixtures"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")]
    paths = sorted(path for pattern in patterns for path in folder.glob(f"{pattern}.npz"))
    if not paths:
        raise FileNotFoundError(f"{folder}: no fixtures {patterns}")
    return [pytest.param(path, id=path.stem) for path in paths]


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the meta dictionary and the arrays of a fixture."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name != "meta"}
        return json.loads(str(file["meta"])), arrays


def inputs() -> ModuleType:
    """Load the fixtures' own generator of weights and inputs."""
    return _module("weights")


def checked(array: np.ndarray, crc: int) -> np.ndarray:
    """Return the array after checking that its checksum is the fixture's."""
    assert inputs().checksum(array) == crc, "the generated input is not the fixture's"
    return array


def official_state(model: str, seed: int, crc: int) -> dict[str, torch.Tensor]:
    """Return generated weights under official names; `model` is a name in the list of official state dictionaries."""
    folder = _folder()
    assert folder is not None
    shapes = json.loads((folder.parent / "state_dicts.json").read_text())[model]
    weights = inputs().official_weights(shapes, seed)
    assert inputs().weights_checksum(weights) == crc, "the generated weights are not the fixture's"
    return {key: torch.from_numpy(value) for key, value in weights.items()}


def check(path: Path, produced: dict[str, np.ndarray], *, elsewhere: Collection[str] = ()) -> None:
    """Assert that the fixture's arrays are within their tolerances and that none is forgotten.

    `elsewhere` lists arrays that are inputs, or that another test checks.
    """
    _, stored = read(path)
    assert set(stored) == {*produced, *elsewhere}
    report = _module("compare").compare(str(path), produced)
    for name, row in report.items():
        used = row.get("ratio", row["err"] / (row["limit"] or 1))
        print(f"{path.stem:15s} {name:24s} {used:.4f} of the allowance")
    failed = {name: row for name, row in report.items() if not row["ok"]}
    assert not failed, failed


def _folder() -> Path | None:
    value = os.environ.get(VARIABLE)
    return Path(value).resolve() if value and Path(value).is_dir() else None


@cache
def _module(name: str) -> ModuleType:
    folder = _folder()
    assert folder is not None
    spec = importlib.util.spec_from_file_location(f"parity_{name}", folder / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
