"""Curves are logged in MLflow while a training runs."""

import shutil
import time
from pathlib import Path

import pytest

from motion_adapt.flows.run import live_curves as following
from motion_adapt.flows.run.live_curves import enter_curves, followed
from motion_adapt.storage.tracking import Tracker
from motion_adapt.tasks.runtime.curves import Curve, read_curve


@pytest.fixture
def tracker(tmp_path: Path, empty_database: Path) -> Tracker:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return Tracker(f"sqlite:///{tmp_path}/mlflow.db", "pretraining")


def test_a_growing_curve_is_logged_and_no_point_twice(
    tmp_path: Path, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "EVERY", 0.05)
    path = tmp_path / "oclr.curve"
    curve = Curve(path, steps=3)

    def points() -> list[tuple[int, float]]:
        return tracker.history(run_id, "train/oclr/loss")

    def wait_for(count: int) -> None:
        until = time.monotonic() + 60
        while len(points()) < count and time.monotonic() < until:
            time.sleep(0.02)

    with tracker.kept(tracker.begin(kind="pretraining", key="a", name="a", params={})) as run_id:
        with followed(tracker, run_id, "oclr", path):  # the file does not exist yet
            curve.add(0, {"loss": 3.0})
            wait_for(1)
            assert points() == [(1, 3.0)]
            curve.add(1, {"loss": 2.0, "order": float("nan")})
            with path.open("a") as file:
                file.write('[3, {"lo')  # an incomplete line
            wait_for(2)
            assert points() == [(1, 3.0), (2, 2.0)]
        with path.open("a") as file:
            file.write('ss": 1.0}]\n')
        enter_curves(tracker, run_id, "oclr", read_curve(path))
        assert points() == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert tracker.get(run_id).info.status == "FINISHED"


def test_a_curve_that_cannot_be_logged_does_not_stop_the_training(
    tmp_path: Path, tracker: Tracker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(following, "EVERY", 0.05)
    path = tmp_path / "oclr.curve"
    Curve(path, steps=1).add(0, {"loss": 3.0})
    with followed(tracker, "no such run", "oclr", path):
        time.sleep(1)
    assert "live logging of oclr's curves stopped" in capsys.readouterr().err


def test_a_run_that_fails_is_marked(tracker: Tracker) -> None:
    run_id = tracker.begin(kind="pretraining", key="a", name="a", params={})
    with pytest.raises(KeyError), tracker.kept(run_id):
        raise KeyError
    assert tracker.get(run_id).info.status == "FAILED"
