"""A local or a running Dask cluster gives the same bytes as threads, even if a worker dies during the run."""

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL

from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.runners import task_runner
from motion_adapt.flows.run.stage_execution import Making
from motion_adapt.flows.segment import segment
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import stage
from tests import needs
from tests.flows.conftest import SETTINGS, Home, child_environment
from tests.flows.servers import BIN, LOOPBACK, free_port, listening, running, training_begun, wait_until
from tests.flows.test_killed import check_the_end

pytestmark = pytest.mark.slow


def environment(home: Home) -> dict[str, str]:
    return {**child_environment(home.path / "prefect"), "PREFECT_API_URL": str(PREFECT_API_URL.value())}


def test_processes_of_a_local_cluster_give_the_same_bytes(adapted: tuple[Home, Report], home: Home) -> None:
    undisturbed, _ = adapted
    log = home.path / "log"
    command = [
        BIN / "motion-adapt",
        "adapt",
        home.clips,
        *home.options(),
        "--runner",
        "dask",
        "--workers",
        "2",
    ]
    seen: set[str] = set()
    with running(command, environment(home), log) as program:
        while program.poll() is None:
            seen |= listening(program)
            with suppress(subprocess.TimeoutExpired):
                program.wait(0.5)
        assert program.returncode == 0, log.read_text()
    assert seen and seen <= LOOPBACK
    made = list(home.store.manifests("correction"))
    assert {manifest.made["threads"] for manifest in made} == {home.place.threads}
    check_the_end(home, undisturbed)


@needs.crf
def test_the_frames_of_a_clip_are_refined_by_all_workers(home: Home) -> None:
    """The task that waits for the frames frees its slot, so its worker refines frames too."""
    crf = SETTINGS.model_validate({**SETTINGS.model_dump(), "crf": {"enabled": True, "iterations": 1}})
    home.segment(settings=crf)
    wanted = home.digests("final")
    cluster = replace(home, path=home.path / "cluster")
    segment.with_options(task_runner=task_runner("dask", 2))(
        source=str(home.clips),
        settings=crf,
        weights=str(home.weights),
        output=str(cluster.output),
        place=cluster.place,
    )
    assert cluster.digests("final") == wanted


def test_a_run_outlives_a_worker_of_its_cluster(adapted: tuple[Home, Report], home: Home) -> None:
    """The worker dies during a training; Dask gives the task to the other worker, which resumes from the state."""
    undisturbed, _ = adapted
    address = f"tcp://127.0.0.1:{free_port()}"
    env, logs = environment(home), [home.path / f"{name}.log" for name in ("scheduler", "workers", "run")]
    scheduler = [BIN / "dask", "scheduler", "--host", address, "--no-dashboard"]
    workers = [
        BIN / "dask", "worker", address, "--nthreads", "1", "--nworkers", "2", "--no-dashboard",
        "--host", "127.0.0.1",
    ]  # fmt: skip
    command = [BIN / "motion-adapt", "adapt", home.clips, *home.options(), "--runner", "dask"]
    with (
        running(scheduler, env, logs[0]),
        running(workers, env, logs[1]) as family,
        running([*command, "--dask-address", address], env, logs[2]) as program,
    ):
        scratch = Path(home.place.scratch)
        wait_until(lambda: training_begun(scratch), program, logs[2])
        os.kill(holder_of(next(scratch.glob(".locks/adapted-corrector-*")), family.pid), signal.SIGKILL)
        assert program.wait(600) == 0, logs[2].read_text()
    check_the_end(home, undisturbed)


@stage("deadly", version=1)
def deadly(*, value: int, place: Place, out: ArtifactWriter) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@flow(task_runner=task_runner("dask", 1))
def meet_the_deadly(place: Place) -> str:
    with pytest.raises(RunError) as caught:
        Making(place).once(deadly, "deadly", value=1)
    return str(caught.value)


def test_a_task_that_kills_every_worker_fails_alone(home: Home) -> None:
    assert "every worker that tried it died" in meet_the_deadly(home.place)


def holder_of(lock: Path, family: int) -> int:
    """Return the process among a process and its descendants that has a lock file open."""
    for process in psutil.Process(family).children(recursive=True):
        if str(lock) in {file.path for file in process.open_files()}:
            return process.pid
    raise AssertionError(f"nobody holds {lock}")
