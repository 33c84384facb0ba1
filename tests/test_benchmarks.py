"""The scripts in benchmarks/: what they measure is what they say, without running any of them in full."""

import importlib
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
Script = Callable[[str], ModuleType]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Return a function that imports a script by name, with its neighbours in reach as when it is run."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


def options(out: Path, **changes: Any) -> Namespace:
    usual: dict[str, Any] = {
        "data": Path("DAVIS"),
        "store": out / "store",
        "rounds": 1,
        "weights": None,
        "clips": None,
    }
    usual |= {"threads": None, "flow": None, "crf": False, "per_clip": False, "set": []}
    return Namespace(out=out, **{**usual, **changes})


def test_numbers_of_other_options_are_not_taken_for_those_asked_for(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = script("results")
    ran: list[list[str]] = []

    def run(command: list[str], check: bool) -> None:
        ran.append(command)
        (tmp_path / "seed-0.json").write_text("{}")

    monkeypatch.setattr(results.subprocess, "run", run)
    assert results.adapt(options(tmp_path), 0) == {}
    assert results.adapt(options(tmp_path, threads=2, store=Path("elsewhere")), 0) == {}
    assert len(ran) == 1
    for changed in ({"rounds": 3}, {"clips": ["dog"]}, {"set": ["edges.enabled=false"]}):
        with pytest.raises(SystemExit, match="has the numbers of"):
            results.adapt(options(tmp_path, **changed), 0)
    (tmp_path / "seed-0.options").unlink()  # as an earlier version left it
    assert results.adapt(options(tmp_path, rounds=3), 0) == {} and len(ran) == 1


def by_hand(tmp_path: Path, frames: int = 3) -> tuple[Path, Path]:
    """Write a data set and results with one clip `c`; returns their folders."""
    data, output = tmp_path / "data", tmp_path / "out"
    annotations, masks = data / "Annotations" / "480p" / "c", output / "masks" / "c"
    annotations.mkdir(parents=True)
    masks.mkdir(parents=True)
    square = np.zeros((8, 8), np.uint8)
    square[2:4, 2:4] = 1
    for index in range(frames):
        Image.fromarray(square * 255).save(annotations / f"{index:05d}.png")
        Image.fromarray(square).save(masks / f"{index:05d}.png")
    return data, output


def test_masks_of_an_earlier_call_are_not_given_again(script: Script, tmp_path: Path) -> None:
    masks_by_hand = script("masks_by_hand")
    data, output = by_hand(tmp_path)
    for frame in ("00000", "00001"):
        doubtful = [{"clip": "c", "frame": frame, "mask": f"masks/c/{frame}.png"}]
        report = SimpleNamespace(output=str(output), doubtful=doubtful)
        assert masks_by_hand.paint(data, report, 1, tmp_path / "exemplars-1") == {"c": [frame]}
    assert [file.stem for file in (tmp_path / "exemplars-1" / "c").iterdir()] == ["00001"]
