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


def test_every_round_has_a_table(script: Script) -> None:
    runs = [{"rounds": [{"metrics": {"proposal/J": j, "final/J": j + 0.1}} for j in (0.5, 0.7)]}]
    for index, (proposals, final) in enumerate((("50.0", "60.0"), ("70.0", "80.0"))):
        head, _, *rows = script("results").table(runs, index)
        assert head.startswith(f"| round {index} |")
        assert rows == [f"| proposals |  |  | {proposals} |  |", f"| final masks |  |  | {final} |  |"]


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


def test_clips_without_a_frame_to_score_are_named(script: Script, tmp_path: Path) -> None:
    score = script("masks_by_hand").score
    data, output = by_hand(tmp_path)
    assert score(data, output, "c", []) == (100, 100)
    with pytest.raises(SystemExit, match="c: no frame to score without the first, the last and 1 given"):
        score(data, output, "c", ["00001"])


def test_every_clip_must_have_frames_in_between(script: Script) -> None:
    check = script("filling").check_step
    check("dog", 3, 2)
    for count, step in ((2, 2), (3, 1), (3, 4)):
        with pytest.raises(SystemExit, match=f"--every {step}: dog has {count} frames, and none in between"):
            check("dog", count, step)


def test_scoring_is_measured_on_three_frames_or_more(
    script: Script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["metrics.py", "--frames", "2"])
    with pytest.raises(SystemExit):
        script("metrics").main()
    assert "--frames: wanted at least 3" in capsys.readouterr().err


def test_a_picture_that_is_missing_is_named(script: Script, tmp_path: Path) -> None:
    read_clip = script("davis_clip").read_clip
    data, _ = by_hand(tmp_path)
    with pytest.raises(SystemExit, match=r"00000\.jpg: there is no such picture"):
        read_clip(data, "c")
    with pytest.raises(SystemExit, match="there are no annotations"):
        read_clip(data, "d")
    frames = data / "JPEGImages" / "480p" / "c"
    frames.mkdir(parents=True)
    for index in range(3):
        Image.new("RGB", (8, 8), (200, 0, 0)).save(frames / f"{index:05d}.jpg")
    rgb, masks = read_clip(data, "c")
    assert rgb.shape == (3, 8, 8, 3) and rgb[..., 0].mean() > 150 and masks.sum() == 12


def test_memory_is_compared_with_the_shortest_video(
    script: Script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    memory = script("memory")
    reports = iter(
        [
            {"peak_memory_mb": 2000, "seconds": {"total": 100}},
            {"peak_memory_mb": 1000, "seconds": {"total": 10}},
        ]
    )
    monkeypatch.setattr(memory, "write_clips", lambda home, lengths: ["long", "short"])
    monkeypatch.setattr(memory, "measure", lambda home, clip, weights: next(reports))
    monkeypatch.setattr("sys.argv", ["memory.py", "--frames", "500", "50", "--weights", "."])
    memory.main()
    rows = [line.split(" | ")[2] for line in capsys.readouterr().out.splitlines() if line.startswith("| 5")]
    assert rows == ["2.00", "1.00"]


def test_the_store_is_measured_with_values_that_do_not_vanish(script: Script) -> None:
    gpu = script("gpu")
    native = np.zeros((1, *gpu.NATIVE, 3), np.uint8)
    for row in gpu.vits(native, Namespace(device="cpu")):
        for written in row.writes:
            assert written.dtype == np.float16 and len(np.unique(written)) > 1000
