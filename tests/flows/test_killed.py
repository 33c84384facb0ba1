"""A killed run is started again with the same command and ends as one that nobody disturbed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from flows.report import Report
from tests.flows.conftest import Home, child_environment


def kill_when(command: list[str], environment: dict[str, str], reached: Path) -> None:
    """Start a command and kill it, and all that it started, as soon as a file is there."""
    child = subprocess.Popen(
        [sys.executable, "-c", "from flows.cli import main; main()", *command],
        env=environment,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 240
        while not reached.parent.is_dir() or not list(reached.parent.glob(reached.name)):
            assert child.poll() is None, f"ended with {child.returncode} before {reached.name}"
            assert time.monotonic() < until, f"no {reached} in time"
            time.sleep(0.005)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def test_a_killed_training_goes_on_to_the_same_artifacts(adapted: tuple[Home, Report], home: Home) -> None:
    undisturbed, report = adapted
    state = home.path / "scratch" / "adapted-corrector-*.pt"
    kill_when(["adapt", str(home.clips), *home.options()], child_environment(home.path / "prefect"), state)
    (left,) = state.parent.glob(state.name)
    assert 1 <= torch.load(left, weights_only=False)["step"] < 4
    assert not any(home.store.manifests("adapted-corrector"))
    interrupted = home.digests()

    resumed = home.adapt()
    assert resumed.stages["proposal"]["cached"] == 2  # of round 0
    assert resumed.final == report.final
    assert interrupted < home.digests() == undisturbed.digests()
    assert not [path for path in state.parent.rglob("*") if path.is_file()]
    assert len(home.tracker.rounds()) == 2
    curve = home.tracker.client.get_metric_history(
        home.tracker.rounds()[1].info.run_id, "train/corrector/loss"
    )
    assert [point.step for point in curve] == [1, 2, 3, 4]
