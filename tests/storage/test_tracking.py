"""Runs in MLflow: found again by their key, no point logged twice, and one champion at a time."""

import copy
import shutil
from pathlib import Path

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from motion_adapt.storage import tracking
from motion_adapt.storage.registry import Registry
from motion_adapt.storage.tracking import NoExperiment, Tracker, flatten, safe_model_name, without_password


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Tracker:
    copied = shutil.copy(empty_database, tmp_path_factory.mktemp("mlflow") / "mlflow.db")
    return Tracker(f"sqlite:///{copied}", "my clips (2)")


@pytest.fixture
def uri(tmp_path: Path, empty_database: Path) -> str:
    """Return the address of a database without runs."""
    return f"sqlite:///{shutil.copy(empty_database, tmp_path / 'mlflow.db')}"


def begin(tracker: Tracker, key: str, parent: str | None = None) -> str:
    kind = "round" if parent else "adaptation"
    params = {"flow": {"estimator": "dis"}, "seed": 0}
    return tracker.begin(kind=kind, key=key, name=key, params=params, tags={"round": "0"}, parent=parent)


def test_an_interrupted_run_is_resumed_and_writes_no_point_twice(tracker: Tracker) -> None:
    run = begin(tracker, "cut-off")
    tracker.curve(run, [(1, {"loss": 3.0}), (2, {"loss": 2.0})])
    again = begin(tracker, "cut-off")  # after a kill
    assert again == run
    tracker.curve(run, [(step, {"loss": 4.0 - step}) for step in (1, 2, 3)])
    tracker.log(run, {"J": 0.5})
    tracker.log(run, {"J": 0.5, "undefined": float("nan")})
    tracker.finish(run)
    history = tracker.client.get_metric_history(run, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert len(tracker.client.get_metric_history(run, "J")) == 1
    assert "undefined" not in tracker.get(run).data.metrics
    assert tracker.get(run).info.status == "FINISHED"
    assert tracker.get(run).data.params == {"flow.estimator": "dis", "seed": "0"}


def test_a_changed_value_replaces_the_old_one(tracker: Tracker) -> None:
    run = begin(tracker, "changed")
    tracker.log(run, {"J": 0.5, "F": 0.25})
    tracker.curve(run, [(1, {"loss": 3.0}), (2, {"loss": 2.0})])
    for _ in range(2):  # logged twice, written once
        tracker.log(run, {"J": 0.25, "F": 0.25})
        tracker.curve(run, [(1, {"loss": 2.5}), (2, {"loss": 2.0})])
    assert tracker.get(run).data.metrics == {"J": 0.25, "F": 0.25, "loss": 2.0}
    assert tracker.history(run, "loss") == [(1, 2.5), (2, 2.0)]
    points = {name: len(tracker.client.get_metric_history(run, name)) for name in ("J", "F", "loss")}
    assert points == {"J": 2, "F": 1, "loss": 3}
    tracker.log(run, {"J": 0.5})  # back to what it was
    tracker.log(run, {"J": float("nan")})
    assert tracker.get(run).data.metrics["J"] == 0.5


def test_rounds_are_children_of_their_adaptation(tracker: Tracker) -> None:
    parent, other = begin(tracker, "parent"), begin(tracker, "other")
    first = begin(tracker, "round-0", parent)
    assert begin(tracker, "round-0", parent) == first
    assert begin(tracker, "round-0", other) != first
    assert tracker.get(first).data.tags["mlflow.parentRunId"] == parent
    assert {run.info.run_id for run in tracker.rounds()} >= {first}


def test_an_adaptation_that_is_run_again_is_the_newest(tracker: Tracker) -> None:
    order = []
    for key in ("walks", "drives", "walks"):
        order.append(begin(tracker, key))
        tracker.finish(order[-1])
    assert order[0] == order[2]
    assert [run.info.run_id for run in tracker.adaptations()][:2] == order[2:0:-1]


def test_all_runs_are_listed_however_many_pages_they_fill(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("motion_adapt.storage.tracking._PAGE", 2)
    parent = begin(tracker, "many")
    rounds = [begin(tracker, f"many-{index}", parent) for index in range(5)]
    assert {run.info.run_id for run in tracker.rounds()} >= set(rounds)
    assert parent in {run.info.run_id for run in tracker.adaptations()}


def test_files_and_tables_are_kept(tracker: Tracker, tmp_path: Path) -> None:
    run = begin(tracker, "files")
    (tmp_path / "strip.png").write_bytes(b"picture")
    tracker.files(run, [tmp_path / "strip.png"], "strips")
    tracker.table(run, pd.DataFrame({"clip": ["dog"], "J": [0.5]}), "clips")
    tracker.json(run, {"a": [1, 2]}, "report")
    names = {item.path for item in tracker.client.list_artifacts(run)}
    assert names == {"strips", "clips.csv", "clips.json", "report.json"}


@pytest.mark.parametrize("name", ["bad%FF%FEname.png", "a #1?.png", "été [1] (日本).png", "50%"])
def test_files_of_any_name_come_back(tracker: Tracker, tmp_path: Path, name: str) -> None:
    run_id = tracker.begin(kind="adaptation", key=name, name="odd", params={})
    (tmp_path / name).write_bytes(name.encode())
    for folder in ("strips", f"doubtful/{name}"):
        tracker.files(run_id, [tmp_path / name], folder)
        assert tracker.read(run_id, f"{folder}/{name}") == name.encode()
        assert tracker.read(run_id, f"{folder}/other-{name}") is None


def test_a_round_is_registered_once_and_the_champion_can_be_fetched(tracker: Tracker, tmp_path: Path) -> None:
    assert Registry(tracker).champion() is None
    with pytest.raises(LookupError, match="no champion yet"):
        Registry(tracker).download_champion(tmp_path / "none")
    runs, versions = [], []
    for number in range(2):
        run = begin(tracker, f"registered-{number}")
        (tmp_path / "oclr.safetensors").write_bytes(f"weights {number}".encode())
        tracker.files(run, [tmp_path / "oclr.safetensors"], "checkpoints")
        versions.append(Registry(tracker).register(run, "checkpoints", {"round": str(number)}))
        runs.append(run)
    assert Registry(tracker).register(runs[0], "checkpoints", {}) == versions[0]
    Registry(tracker).promote(versions[1])
    assert Registry(tracker).champion() == (versions[1], runs[1])
    folder = Registry(tracker).download_champion(tmp_path / "champion")
    assert (folder / "oclr.safetensors").read_bytes() == b"weights 1"


def test_experiments_whose_names_become_alike_share_no_champion(uri: str) -> None:
    made = {}
    for name in ("кот", "дог", "clips", "day 1", "day-1"):
        registry = Registry(Tracker(uri, name))
        run = begin(registry.tracker, name)
        registry.promote(registry.register(run, "checkpoints", {}))
        made[name] = registry.model, run
    assert len({model for model, _ in made.values()}) == len(made)
    assert (made["clips"][0], made["day-1"][0]) == ("motion-adapt-clips", "motion-adapt-day-1")
    for name, (model, run) in made.items():
        again = Registry(Tracker(uri, name))
        assert (again.model, (again.champion() or (0, ""))[1]) == (model, run)


def test_a_model_from_before_names_had_marks_is_found(uri: str, tmp_path: Path) -> None:
    tracker = Tracker(uri, "day 1")
    run = begin(tracker, "old")
    tracker.client.create_registered_model("motion-adapt-day-1")
    version = tracker.client.create_model_version("motion-adapt-day-1", source=str(tmp_path), run_id=run)
    tracker.client.set_registered_model_alias("motion-adapt-day-1", "champion", version.version)
    assert Registry(tracker).champion() == (int(version.version), run)


def test_an_unreachable_server_is_not_mistaken_for_one_without_a_champion(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    lost = copy.copy(tracker)
    lost.client = MlflowClient(tracking_uri="http://127.0.0.1:9", registry_uri="http://127.0.0.1:9")
    with pytest.raises(MlflowException, match="Connection refused"):
        Registry(lost).champion()


def test_a_model_without_the_alias_has_no_champion(uri: str) -> None:
    tracker = Tracker(uri, "clips")
    Registry(tracker).register(begin(tracker, "registered"), "checkpoints", {})
    assert Registry(tracker).champion() is None


def test_reading_creates_no_experiment(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(NoExperiment, match="there is no database"):
        Tracker(uri, "clips", create=False)
    assert not list(tmp_path.iterdir())
    made = Tracker(uri, "clips")
    with pytest.raises(NoExperiment, match=r"no experiment 'clip' in sqlite.*; there are clips, Default"):
        Tracker(uri, "clip", create=False)
    assert {item.name for item in made.client.search_experiments()} == {"clips", "Default"}
    (tmp_path / ".mlflow.db.lock").mkdir()  # as in a folder that can only be read, no lock can be had
    assert Tracker(uri, "clips", create=False).experiment_id == made.experiment_id


def test_nothing_is_created_while_another_process_holds_the_lock(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_PATIENCE", 0.0)
    with tracker.alone(), pytest.raises(TimeoutError, match="another process"):
        Tracker(tracker.uri, "another")
    with pytest.raises(NoExperiment):
        Tracker(tracker.uri, "another", create=False)


def test_an_experiment_that_was_deleted_is_not_logged_to(uri: str) -> None:
    tracker = Tracker(uri, "clips")
    tracker.client.delete_experiment(tracker.experiment_id)
    for create in (True, False):
        with pytest.raises(NoExperiment, match="'clips' was deleted in MLflow: restore it"):
            Tracker(uri, "clips", create=create)
    tracker.client.restore_experiment(tracker.experiment_id)
    assert Tracker(uri, "clips").experiment_id == tracker.experiment_id


def test_names_that_the_registry_accepts() -> None:
    assert safe_model_name("été (1)/x") == "t---1--x"
    assert safe_model_name("日本") == "clips"
    assert flatten({"a": {"b": {"c": 1}}, "d": None}) == {"a.b.c": 1, "d": None}


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://me:se@cret@host:5000/mlflow", "http://...@host:5000/mlflow"),
        (
            "postgresql://host/runs?user=me&password=secret&x=1",
            "postgresql://host/runs?user=me&password=...&x=1",
        ),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
        ("postgresql://me:a?b@h/db", "postgresql://...@h/db"),
        ("mysql+pymysql://me:p12/ss@h/db", "mysql+pymysql://...@h/db"),
        ("mssql://h/db?PWD=secret;odbc_connect=PWD%3Dsecret", "mssql://h/db?PWD=...;odbc_connect=..."),
        ("request to http://me@h/api, then http://a:b@h/", "request to http://...@h/api, then http://...@h/"),
        ("sqlite:///a:1@b.db", "sqlite:///a:1@b.db"),
        ("http://host/a?x=b@c", "http://host/a?x=b@c"),
        ("http://host:5000/a?x=b@c and d@e", "http://host:5000/a?x=b@c and d@e"),
    ],
)
def test_passwords_are_not_shown(uri: str, shown: str) -> None:
    assert without_password(uri) == shown
