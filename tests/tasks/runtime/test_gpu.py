"""Stages take turns on a GPU; a killed stage releases it, and a waiting stage gives up after its patience."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import flow
from prefect.futures import wait
from prefect.task_runners import ThreadPoolTaskRunner

from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.tasks.runtime.gpu import GpuBusy, gpu_to_itself
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.prefect_tasks import task_of
from motion_adapt.tasks.runtime.stage import stage

HOLD = """
import sys, tempfile
from motion_adapt.tasks.runtime.gpu import gpu_to_itself
tempfile.tempdir = sys.argv[1]
with gpu_to_itself("cuda", patience=0):
    print("held", flush=True)
    sys.stdin.read()
"""
ON_GPU: list[int] = []
MOST: list[int] = []


@stage("on-gpu", version=1, gpu=True)
def on_gpu(*, value: int, place: Place, out: ArtifactWriter) -> None:
    ON_GPU.append(value)
    MOST.append(len(ON_GPU))
    time.sleep(0.3)  # long enough for the others to enter if they were let in
    ON_GPU.pop()


@flow(task_runner=ThreadPoolTaskRunner(max_workers=3))
def three_on_a_gpu(place: Place) -> None:
    wait([task_of(on_gpu).submit(value=value, place=place) for value in range(3)])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return a place with a GPU that no other test uses."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    MOST.clear()
    return Place(
        store=str(tmp_path / "store"),
        scratch=str(tmp_path / "scratch"),
        device="cuda",
        threads=1,
        patience=60,
    )


@pytest.fixture
def holder(tmp_path: Path, place: Place) -> Iterator[subprocess.Popen[bytes]]:
    """Start another process that holds the GPU."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        yield child
        child.kill()


def test_stages_on_a_gpu_take_turns_at_it(place: Place, prefect_server: None) -> None:
    assert on_gpu.uses_gpu({})
    three_on_a_gpu(place)
    assert MOST == [1, 1, 1]


def test_the_gpu_of_a_killed_stage_is_free(place: Place, holder: subprocess.Popen[bytes]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    made = on_gpu.make(value=1, place=place.model_copy(update={"patience": 0.0}))
    assert place.open().find(on_gpu.recipe({"value": 1, "place": place})) == made


def test_waiting_too_long_for_a_gpu_is_an_error(place: Place, holder: subprocess.Popen[bytes]) -> None:
    impatient = place.model_copy(update={"patience": 0.2})
    with pytest.raises(GpuBusy, match=r"cuda was in use by other stages on this machine for 0\.2 seconds"):
        on_gpu.make(value=1, place=impatient)
    assert not list(place.open().manifests())
    with gpu_to_itself("cpu", patience=0):
        pass  # a CPU needs no waiting
