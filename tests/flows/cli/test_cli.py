"""The command line: exit statuses, messages with the next step, and never a traceback for a user's mistake."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from motion_adapt.flows.cli.app import app
from motion_adapt.flows.cli.launch import in_words, running
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.rounds.results import output_folder
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.run import source_name
from motion_adapt.flows.run.tracking import Tracking
from tests.flows.conftest import FRAMES, Home, child_environment, make_home
from tests.storage.media import save_frames


def invoke(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def test_segment_refuses_two_starts(tmp_path: Path) -> None:
    result = invoke("segment", tmp_path, "--from", "champion", "--weights", tmp_path)
    assert result.exit_code == 2 and "exclude each other" in result.output
    result = invoke("segment", tmp_path, "--from", "best")
    assert result.exit_code == 2 and "'preset' or 'champion'" in result.output


def test_numbers_into_no_folder_are_refused_before_any_work(tmp_path: Path) -> None:
    target = tmp_path / "typo" / "x.json"
    for command in ("segment", "plan", "rounds", "review", "verify"):
        result = invoke(command, tmp_path, "--json", target)
        assert result.exit_code == 2 and "there is no folder" in result.output, command
    assert list(tmp_path.iterdir()) == []


def test_pretrain_names_its_experiment() -> None:
    told = " ".join(invoke("pretrain", "--help").output.split())
    assert "pretraining" in told and "the source's name" not in told


def test_version() -> None:
    assert invoke("--version").output == f"motion-adapt {importlib.metadata.version('motion-adapt')}\n"


MISTAKES: dict[str, tuple[Callable[[Home], list[object]], int, list[str]]] = {
    "no such source": (lambda home: [home.path / "nothing"], 1, ["does not exist", "give a video file"]),
    "a source without clips": (lambda home: [home.weights], 1, ["no clips in"]),
    "a file that is no video": (lambda home: [home.weights / "oclr.safetensors"], 1, ["not a video"]),
    "an unknown clip": (lambda home: [home.clips, "--clips", "hero"], 1, ["'hero'", "did you mean 'heron'?"]),
    "a clip outside the source": (lambda home: [home.clips, "--clips", "../out"], 1, ["no clip '../out'"]),
    "an unknown split": (lambda home: [home.clips, "--split", "2016/val"], 1, ["no split '2016/val'"]),
    "an unknown field": (
        lambda home: [home.clips, "--set", "flow.updats=3"], 2, ["'flow.updats'", "did you mean 'flow.updates'?"],
    ),
    "no value": (lambda home: [home.clips, "--set", "flow.updates"], 2, ["--set needs field=value"]),
    "a value of the wrong kind": (lambda home: [home.clips, "--set", "flow.updates=many"], 2, ["flow.updates:"]),
    "a value out of range": (
        lambda home: [home.clips, "--set", "proposal.overlap=30"], 2, ["proposal.overlap must be smaller"],
    ),
    "an unknown preset": (lambda home: [home.clips, "--preset", "papre"], 2, ["'papre'", "compact, paper"]),
    "no such config": (lambda home: [home.clips, "--config", home.path / "no.toml"], 2, ["no.toml"]),
    "an unknown device": (lambda home: [home.clips, "--device", "gpu7"], 2, ["--device", "gpu7"]),
    "prune to nothing": (lambda home: [home.clips, "--prune", 0], 2, ["--prune"]),
    "start from what": (lambda home: [home.clips, "--from", "best"], 2, ["'preset' or 'champion'"]),
    "two start weights": (
        lambda home: [home.clips, "--from", "champion", "--weights", home.weights], 2, ["exclude each other"],
    ),
    "no champion yet": (
        lambda home: [home.clips, "--from", "champion"], 1, ["no champion yet", "--weights DIR"],
    ),
    "no such weights": (lambda home: [home.clips, "--weights", home.path / "no"], 1, ["there is no such folder"]),
    "missing weights": (
        lambda home: [home.clips, "--weights", home.clips], 1, ["oclr.safetensors", "motion-adapt pretrain --out"],
    ),
    "other objects": (
        lambda home: [home.clips, "--weights", home.weights, "--set", "objects=2"], 1,
        ["3 objects", "objects=2"],
    ),
    "other features": (
        lambda home: [
            home.clips, "--weights", home.weights, "--set", "features.corrector.backbone=vit_tiny_patch16_224",
            "--set", f"features.corrector.checkpoint={home.weights / 'features.safetensors'}",
        ],
        1, ["features.corrector", "features.safetensors does not fit"],
    ),
    "half precision on a CPU": (
        lambda home: [home.clips, "--weights", home.weights, "--device", "cpu", "--set", "precision=bfloat16"], 1,
        ["precision=bfloat16 needs a GPU"],
    ),
    "results into a file": (
        lambda home: [home.clips, "--weights", home.weights, "-o", home.path / "mlflow.db"], 1,
        ["cannot be written", "--output"],
    ),
    "results where nothing can be written": (
        lambda home: [home.clips, "--weights", home.weights, "-o", "/proc/results"], 1, ["cannot be written"],
    ),
    "numbers into no folder": (lambda home: [home.clips, "--json", home.path / "no" / "x.json"], 2, ["--json"]),
    "a store in a file": (
        lambda home: [home.clips, "--weights", home.weights, "--store", home.path / "mlflow.db"], 1, ["mlflow.db"],
    ),
    "an unknown tracking address": (
        lambda home: [home.clips, "--tracking-uri", "carrier://pigeon"], 1, ["carrier"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def idle(
    tmp_path_factory: pytest.TempPathFactory,
    prefect_server: None,
    smoke_weights: Path,
    smoke_clips: Path,
    empty_database: Path,
) -> Home:
    """Return a home in which every command fails early."""
    return make_home(tmp_path_factory.mktemp("idle"), smoke_weights, smoke_clips, empty_database)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_message_that_says_what_to_do(
    idle: Home, mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(idle.path)
    arguments, status, said = MISTAKES[mistake]
    given = arguments(idle)
    common: list[object] = [
        "--device",
        "cpu",
        "--threads",
        1,
        "--tracking-uri",
        idle.tracking.uri,
        "--store",
        "store",
    ]
    result = invoke("adapt", *common, *given)
    assert result.exit_code == status, result.output
    plain = " ".join(result.output.replace("│", " ").split())
    assert all(part in plain for part in said), result.output


def test_a_wrong_seed_is_told_before_the_first_training(prefect_server: None, tmp_path: Path) -> None:
    where = ["--store", tmp_path / "store", "--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    result = invoke("pretrain", "--out", tmp_path / "out", "--seeds", "0,-1", "--steps", 1, *where)
    assert result.exit_code == 2 and "wrong setting seed" in result.output
    assert not (tmp_path / "store").exists() and not (tmp_path / "out").exists()


def test_the_second_run_of_a_command_has_no_time_of_the_first(prefect_server: None, tmp_path: Path) -> None:
    def flow() -> Report:
        time.sleep(1)
        return Report("pretrain", "clips", seconds={"total": 1.0})

    with running("pretrain", verbose=False, store=str(tmp_path)) as run:
        reports = [run(flow, json_file=None) for _ in range(2)]
    assert reports[1].seconds["imports"] < 0.5 and reports[1].seconds["prefect_start"] < 0.5


def test_a_weight_file_of_another_network_is_refused(idle: Home, tmp_path: Path) -> None:
    for model, file in (("oclr", "selector"), ("selector", "selector"), ("corrector", "corrector")):
        (tmp_path / f"{model}.safetensors").write_bytes((idle.weights / f"{file}.safetensors").read_bytes())
    result = invoke(
        "segment", idle.clips, "--weights", tmp_path, "--store", tmp_path / "store", "-o", tmp_path / "out"
    )
    assert result.exit_code == 1
    assert "oclr.safetensors is a checkpoint of the selector, wanted the oclr" in result.output


def test_a_damaged_weight_file_is_refused(idle: Home, tmp_path: Path) -> None:
    whole = (idle.weights / "oclr.safetensors").read_bytes()
    (tmp_path / "oclr.safetensors").write_bytes(whole[: len(whole) // 2])
    result = invoke(
        "segment", idle.clips, "--weights", tmp_path, "--store", tmp_path / "store", "-o", tmp_path / "out"
    )
    assert result.exit_code == 1
    assert "oclr.safetensors is damaged, or no checkpoint of this project" in result.output


def test_masks_are_evaluated_clip_by_clip_and_bad_ones_left_out(
    adapted: tuple[Home, Report], tmp_path: Path
) -> None:
    home, report = adapted
    shutil.copytree(home.output / "masks", tmp_path / "masks")
    command = ["evaluate", tmp_path / "masks", home.clips / "Annotations" / "480p", "--json", tmp_path / "j"]
    assert invoke(*command, "--strict").exit_code == 0
    assert json.loads((tmp_path / "j").read_text())["final"]["J"] == pytest.approx(report.final["J"])
    both = ["--clips", "heron,tram [raw]"]  # which no benchmark has
    beside = invoke(*command, *both, "--protocol", "objects", "--against-paper", "--dataset", "DAVIS17-m")
    assert beside.exit_code == 0
    assert "OCLR-flow" in beside.output and "scored: 2 clips;" in beside.output
    counted = [json.loads((tmp_path / "j").read_text())["clips"]["heron"]["frames"]]
    assert invoke(*command, *both, "--dataset", "SegTrackv2").exit_code == 0
    counted += [json.loads((tmp_path / "j").read_text())["clips"]["heron"]["frames"]]
    assert invoke(*command).exit_code == 0
    counted += [json.loads((tmp_path / "j").read_text())["clips"]["heron"]["frames"]]
    # Only the rule of DAVIS 2016 leaves out the first and last frame.
    assert counted == [FRAMES, FRAMES, FRAMES - 2]
    unknown = invoke(*command, "--dataset", "KITTI")
    assert unknown.exit_code == 2 and "DAVIS2017-motion" in unknown.output
    damaged = tmp_path / "masks" / "tram [raw]" / "00007.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    result = invoke(*command)
    assert result.exit_code == 0
    assert "set aside tram [raw]:" in result.output
    assert "00007.png" in result.output
    assert list(json.loads((tmp_path / "j").read_text())["clips"]) == ["heron"]
    assert invoke(*command, "--strict").exit_code == 1
    assert invoke("evaluate", tmp_path / "masks", tmp_path / "none").exit_code == 1
    assert invoke("evaluate", tmp_path / "masks", tmp_path, "--protocol", "both").exit_code == 2


def test_store_commands_report_a_missing_store(tmp_path: Path) -> None:
    for command in (["list"], ["verify"], ["prune"], ["explain", "abc"]):
        result = invoke("store", *command, "--store", tmp_path / "none")
        assert result.exit_code == 1
        assert "there is no store at" in result.output


def test_an_artifact_that_is_not_there_is_not_explained(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    result = invoke("store", "explain", "final/0000", "--store", tmp_path / "store")
    assert result.exit_code == 1
    assert "0 artifacts" in result.output


def test_a_bug_keeps_its_traceback() -> None:
    for defect in (KeyError("final"), TypeError("no"), AssertionError()):
        assert in_words(defect) is None
    assert in_words(RunError("no clip")) == "no clip"


def test_rounds_of_an_experiment_are_compared(adapted: tuple[Home, Report], tmp_path: Path) -> None:
    home, report = adapted
    numbers = tmp_path / "rounds.json"
    result = invoke("rounds", "clips", "--tracking-uri", home.tracking.uri, "--json", numbers)
    assert result.exit_code == 0
    rows = json.loads(numbers.read_text())
    assert [row["round"] for row in rows] == [0, 1]
    assert [row["champion"] for row in rows] == [index == report.final["round"] for index in (0, 1)]
    change = rows[1]["corrected/J"] - rows[0]["corrected/J"]
    assert rows[1]["d corrected/J"] == pytest.approx(change)
    assert "final/J by clip, worst first" in result.output and "tram [raw]" in result.output
    shown = invoke("rounds", "clips", "--tracking-uri", home.tracking.uri, "-o", tmp_path / "csv")
    assert shown.exit_code == 0
    assert len((tmp_path / "csv" / "rounds.csv").read_text().splitlines()) == 1 + 2
    assert len((tmp_path / "csv" / "clips.csv").read_text().splitlines()) == 1 + 2 * 2
    page = tmp_path / "report.html"
    assert invoke("report", "clips", "--tracking-uri", home.tracking.uri, "-o", page).exit_code == 0
    assert page.read_text() == (home.output / "report.html").read_text()
    assert invoke("report", "nothing", "--tracking-uri", home.tracking.uri, "-o", page).exit_code == 1
    assert invoke("rounds", "nothing", "--tracking-uri", home.tracking.uri).exit_code == 1


@pytest.mark.parametrize("command", [("rounds",), ("report",), ("segment", "--from", "champion")])
def test_commands_that_only_read_mlflow_create_no_experiment(
    command: tuple[str, ...], idle: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    verb, *options = command
    shutil.copytree(idle.clips / "JPEGImages" / "480p", tmp_path / "TYPO")
    result = invoke(verb, "TYPO", *options, "--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db")
    assert result.exit_code == 1 and "there is no database" in result.output
    assert not (tmp_path / "mlflow.db").exists()
    before = idle.tracker.client.search_experiments()
    result = invoke(verb, "TYPO", *options, "--tracking-uri", idle.tracking.uri)
    assert result.exit_code == 1 and "no experiment 'TYPO' in sqlite" in result.output
    assert [item.name for item in idle.tracker.client.search_experiments()] == [item.name for item in before]


def test_a_deleted_experiment_and_a_run_that_is_not_there_are_named(idle: Home, tmp_path: Path) -> None:
    tracker = Tracking(uri=idle.tracking.uri, experiment="old").open("")
    options = ("--tracking-uri", idle.tracking.uri, "--output", tmp_path / "report.html")
    result = invoke("report", "old", "--run", "typo", *options)
    assert result.exit_code == 1
    assert "--run typo: experiment 'old'" in result.output and "has no such adaptation" in result.output
    tracker.client.delete_experiment(tracker.experiment_id)
    result = invoke("adapt", idle.clips, *idle.options(), "--experiment", "old")
    assert result.exit_code == 1 and "experiment 'old' was deleted in MLflow: restore it" in result.output


def test_a_smoke_run_takes_so_many_clips_of_eight_frames_and_writes_its_numbers(home: Home) -> None:
    numbers, source = home.path / "report.json", home.path / "long"
    for clip in ("heron", "tram"):
        save_frames(source / clip, [f"{index}.png" for index in range(9)])
    result = invoke("segment", source, "--prune", 1, "--fast", "--json", numbers, *home.options())
    assert result.exit_code == 0, result.output
    report = json.loads(numbers.read_text())
    assert list(report["clips"]) == ["heron"]
    assert report["clips"]["heron"]["frames"] == 8
    assert report["stages"]["flow"] == {"computed": 1, "cached": 0, "seconds": pytest.approx(0, abs=60)}
    assert "smoothing" in report["stages"] and "clip-network" not in report["stages"]
    assert {"imports", "prefect_start", "total"} <= set(report["seconds"])
    assert "rounds" in report
    assert str(home.output) in result.output


def test_the_numbers_of_a_run_are_plain_json(adapted: tuple[Home, Report]) -> None:
    _, report = adapted
    assert json.loads(json.dumps(report.json(), allow_nan=False))["final"] == report.final
    assert {
        "command", "source", "clips", "set_aside", "unscored", "warnings", "figures", "provenance", "rounds",
        "final", "champion", "stages", "seconds", "peak_memory_mb", "output", "mlflow",
    } <= set(report.json())  # fmt: skip


def test_exit_status_is_1_if_no_clip_was_processed(idle: Home, tmp_path: Path) -> None:
    bad = tmp_path / "clips" / "[odd]"
    bad.mkdir(parents=True)
    (bad / "0.jpg").write_text("no picture")
    told = tmp_path / "told.json"
    result = invoke(
        "materialise", bad.parent, "--weights", idle.weights, "--store", tmp_path / "store", "--json", told
    )
    assert result.exit_code == 1
    assert json.loads(told.read_text())["set_aside"].keys() == {"[odd]"}
    assert "set aside [odd]: 0.jpg" in result.output
    assert "no clip of" in result.output


def test_the_installed_command_runs(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("motion-adapt"))]
    environment = child_environment(tmp_path)
    wrong = subprocess.run(
        [*command, "adapt", "nothing", "--set", "sed=1"], env=environment, capture_output=True, text=True
    )
    assert wrong.returncode == 2
    assert wrong.stderr == "wrong setting there is no setting 'sed'; did you mean 'seed'?\n"
    assert not wrong.stdout


@pytest.mark.slow
def test_a_wrong_environment_is_one_line(tmp_path: Path) -> None:
    environment = {**child_environment(tmp_path), "MOTION_ADAPT_WORKERS": "two"}
    command = [str(Path(sys.executable).with_name("motion-adapt")), "adapt", "nothing"]
    wrong = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert wrong.returncode == 2
    told = "MOTION_ADAPT_WORKERS: wanted a whole number of 1 or more, got 'two'"
    assert wrong.stderr == f"wrong environment {told}\n"


def test_folders_with_dots_keep_results_and_experiments_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sources = ["walks.2023", "walks.2024"]
    for source in sources:
        Path(source).mkdir()
    assert [output_folder(None, source).name for source in sources] == sources
    assert output_folder(None, "walk.mp4").name == "walk"
    assert [source_name(source) for source in sources] == sources
