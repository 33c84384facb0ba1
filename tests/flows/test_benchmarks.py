"""A benchmark as downloaded works in every command: it is checked, adapted to, scored, and exported as a submission."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from motion_adapt.flows.cli.app import app
from motion_adapt.flows.evaluate import evaluate
from motion_adapt.flows.run.presets import SettingsError, load_settings
from motion_adapt.storage.datasets.catalogue import data_set
from tests.flows.conftest import Home
from tests.storage.copies import EVALUATED, MAKERS, frame_of, labels_of, make, save

SCORES = {
    "single": ("J", "F", "JF", "J_matched"),
    "objects": ("J", "F", "JF"),
    "boxes": ("J", "SR", "J_matched"),
}


def invoke(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def adapted_to(home: Home, name: str, *options: object) -> dict[str, Any]:
    """Return the numbers of a smoke run on the copy of a benchmark."""
    root, numbers = make(name, home.path / name), home.path / "report.json"
    given = ("--dataset", name, "--prune", 2, "--json", numbers, *options, *home.options())
    result = invoke("adapt", root, *given)
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(numbers.read_text())
    return report


def check(home: Home, name: str, report: dict[str, Any]) -> None:
    """Check that both clips were scored by the benchmark's protocol, and that `evaluate` gives the same scores."""
    known = data_set(name)
    assert set(report["clips"]) == set(EVALUATED[name]) and not report["unscored"] and not report["set_aside"]
    for clip in report["clips"].values():
        assert all(0 <= clip[score] <= 1 for score in SCORES[known.protocol])
    assert [text for text in report["warnings"] if "missing" in text] == []
    numbers = home.path / "scores.json"
    result = invoke("evaluate", home.output / "masks", home.path / name, "--dataset", name, "--json", numbers)
    assert result.exit_code == 0, result.output
    scores = json.loads(numbers.read_text())
    for score in SCORES[known.protocol]:
        assert scores["final"][score] == pytest.approx(report["final"][score], abs=1e-9)
    counted = {clip: values["frames"] for clip, values in scores["clips"].items()}
    within = 2 if name == "YouTubeVOS2018-motion" else None  # of three, in the eight frames used
    assert counted == {
        clip: (within or count) - (2 if known.skip_ends else 0) for clip, count in EVALUATED[name].items()
    }


@pytest.mark.slow
def test_fbms_is_adapted_to_at_its_own_gap_and_scored_where_it_is_annotated(home: Home) -> None:
    report = adapted_to(home, "FBMS-59", "--rounds", 0)
    check(home, "FBMS-59", report)
    gaps = {manifest.settings["gap"] for manifest in home.store.manifests("flow")}
    assert gaps == {3}
    out = home.path / "submission"
    given = ("export", home.output / "masks", "--dataset", "FBMS-59", "--source", home.path / "FBMS-59")
    result = invoke(*given, "--out", out)
    assert result.exit_code == 0, result.output
    assert "no masks of 28 clips of FBMS-59" in result.output
    assert len(list((out / "camel01").iterdir())) == 8
    assert invoke(*given, "--out", home.path / "all.json", "--format", "coco").exit_code == 0
    assert len(json.loads((home.path / "all.json").read_text())["images"]) == 16


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_every_benchmark_goes_through_a_round_of_adaptation(home: Home, name: str) -> None:
    report = adapted_to(home, name)
    assert len(report["rounds"]) == 2
    check(home, name, report)


def test_a_benchmarks_rules_are_defaults_that_anything_overrides() -> None:
    fbms = load_settings(data_set=data_set("FBMS-59"))
    assert (fbms.gaps.inference, fbms.gaps.adaptation) == (3, 2)
    assert (fbms.evaluation.protocol, fbms.evaluation.skip_ends) == ("single", False)
    assert load_settings(data_set=data_set("DAVIS2016")).evaluation.skip_ends
    assert load_settings(data_set=data_set("YTVOS18-m")).evaluation.protocol == "objects"
    mine = load_settings(overrides=["gaps.inference=1"], data_set=data_set("FBMS-59"))
    assert mine.gaps.inference == 1
    with pytest.raises(SettingsError, match="must differ"):
        load_settings(overrides=["gaps.inference=2"], data_set=data_set("FBMS-59"))


def test_masks_that_are_right_score_one_under_every_benchmarks_own_protocol(tmp_path: Path) -> None:
    """Correct masks score one despite five objects, frames without annotation, layers, greys and boxes."""
    for name in ("DAVIS2017-motion", "YouTubeVOS2018-motion", "SegTrackv2", "FBMS-59", "MoCA"):
        root = make(name, tmp_path / name)
        clip, objects, first, stem = {
            "DAVIS2017-motion": ("gold-fish", 5, 0, ""),
            "YouTubeVOS2018-motion": ("0a275e7f12", 2, 0, ""),
            "SegTrackv2": ("bmx", 2, 18, "bmx_"),
            "FBMS-59": ("tennis", 2, 1, "tennis"),
            "MoCA": ("crab", 1, 0, ""),
        }[name]
        masks, size = tmp_path / "masks" / name, (48, 72) if clip == "bmx" else (40, 64)
        digits = 3 if clip == "tennis" else 5
        for index in range(11 if name.startswith("YouTube") else 8):
            label_map = labels_of(index, objects, size)
            save(masks / clip / f"{stem}{index + first:0{digits}d}.png", label_map, np.arange(768) % 251)
        final = evaluate.fn(str(masks), str(root), clips=[clip]).final
        assert final["J"] == 1, (name, final)
        assert ("F" in final) == (name != "MoCA")


def test_verify_prints_each_fault_with_its_path_and_exits_with_1(tmp_path: Path) -> None:
    root = make("DAVIS2016", tmp_path / "DAVIS")
    for index in range(8):
        (root / "Annotations" / "480p" / "dog" / f"{index:05d}.png").write_bytes(b"")
    numbers = tmp_path / "found.json"
    result = invoke("verify", root, "--json", numbers, "--threads", 2)
    assert result.exit_code == 1
    told = " ".join(result.output.split())
    assert "taken as DAVIS2016 val" in told
    assert (
        f"fault, undecodable annotation: {root}/Annotations/480p/dog/00000.png: is empty (zero bytes)" in told
    )
    assert "dog/00006.png" not in told and "--json has all" in told
    assert "faults: 26" in told  # eight masks and eighteen clips
    found = json.loads(numbers.read_text())
    assert (found["dataset"], found["faults"], len(found["findings"])) == ("DAVIS2016", 26, 26)
    assert invoke("verify", root, "--dataset", "davis17").exit_code == 2
    assert invoke("verify", tmp_path / "nothing").exit_code == 1


def test_verify_warns_of_clips_with_too_little_motion(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 255, (16, 28, 3), np.uint8)
    large = np.array(Image.fromarray(ground).resize((336, 192), Image.Resampling.BICUBIC))
    for clip, step in (("still", 0.0), ("slow", 1.0), ("lively", 6.0)):
        for index in range(12):
            frame = large.copy()
            left = 40 + round(step * index)
            frame[60:140, left : left + 90] = large[100:180, 200:290]
            save(tmp_path / "clips" / clip / f"{index:05d}.png", frame)
    result = invoke("verify", tmp_path / "clips")
    assert result.exit_code == 0, result.output
    told = " ".join(result.output.split())
    assert (
        "warning, hardly any motion:" in told
        and f"{tmp_path}/clips/still: anything but the camera moves in only 0%" in told
    )
    assert "warning, slow motion:" in told and f"{tmp_path}/clips/slow:" in told
    assert "try --set gaps.inference=" in told
    assert "clips/lively" not in told and "faults: 0" in told
    (tmp_path / "clips" / "lively" / "00003.png").write_bytes(b"")
    assert invoke("verify", tmp_path / "clips").exit_code == 1


def test_export_needs_a_benchmark_for_a_submission(tmp_path: Path) -> None:
    save(tmp_path / "masks" / "mine" / "00000.png", frame_of(labels_of(0, 1))[..., 0])
    result = invoke("export", tmp_path / "masks", "--out", tmp_path / "out")
    assert result.exit_code == 2 and "--dataset" in result.output
    given = ("export", tmp_path / "masks", "--out", tmp_path / "out")
    assert invoke(*given, "--dataset", "SegTrackv2").exit_code == 1
    assert invoke(*given, "--format", "tar").exit_code == 2
    assert invoke(*given, "--format", "coco").exit_code == 0


def test_an_explicit_protocol_overrides_the_benchmark(tmp_path: Path) -> None:
    root = make("DAVIS2017-motion", tmp_path / "data")
    for index in range(8):
        save(tmp_path / "masks" / "judo" / f"{index:05d}.png", labels_of(index, 1), np.arange(768) % 251)
    given = str(tmp_path / "masks"), str(root)
    assert evaluate.fn(*given, clips=["judo"]).final["J"] == 0.5  # one of two objects
    assert "J_matched" not in evaluate.fn(*given, clips=["judo"]).final
    final = evaluate.fn(*given, protocol="single", clips=["judo"]).final
    assert final["J"] == final["J_matched"] == 0.5
