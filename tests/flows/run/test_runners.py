"""Where tasks run: on the workers of another cluster, and GPU tasks on workers that declare a GPU."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, Nanny, Scheduler, SpecCluster
from distributed.worker import get_worker
from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from motion_adapt.flows.run.runners import GPU_RESOURCE, resolved, runner_from_environment, task_runner
from motion_adapt.flows.run.stage_execution import Making
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.tasks.runtime.place import Place, share_of_cores
from motion_adapt.tasks.runtime.stage import stage
from motion_adapt.tasks.runtime.variables import BadVariable


@stage("where", version=1, gpu=True)
def where(*, number: int, place: Place, out: ArtifactWriter) -> None:
    out.summary = {"worker": str(get_worker().name), "device": place.device}


@flow
def ask(place: Place) -> list[dict[str, Any]]:
    making = Making(resolved(place))
    return [making.summary(making.once(where, f"where {n}", number=n)) for n in range(4)]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Start a cluster of two workers, one of which declares a GPU; it need not have one for this test's stage."""
    options = {"nthreads": 1, "host": "127.0.0.1", "dashboard_address": None}
    workers = {
        "plain": {"cls": Nanny, "options": options},
        "gpu": {"cls": Nanny, "options": {**options, "resources": {GPU_RESOURCE: 1}}},
    }
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard": False}}
    with SpecCluster(workers=workers, scheduler=scheduler) as cluster, Client(cluster) as client:
        client.wait_for_workers(2)
        yield cluster.scheduler_address


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_gpus_of_a_cluster_are_used_from_a_machine_without_one(
    device: str, address: str, tmp_path: Path, prefect_server: None
) -> None:
    place = Place(store=str(tmp_path / "store"), scratch=str(tmp_path / "scratch"), device=device, threads=1)
    found = ask.with_options(task_runner=task_runner("dask", 1, address))(place)
    assert found == 4 * [{"worker": "gpu", "device": "cuda"}]


def test_a_flow_not_started_from_the_command_line_reads_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert isinstance(runner_from_environment(), ThreadPoolTaskRunner)
    monkeypatch.setenv("MOTION_ADAPT_WORKERS", "2")
    assert share_of_cores() == max(1, (os.cpu_count() or 1) // 2)
    monkeypatch.setenv("MOTION_ADAPT_RUNNER", "dask")
    local: Any = runner_from_environment()
    assert local.address is None and local.cluster_kwargs["n_workers"] == 2
    monkeypatch.setenv("MOTION_ADAPT_DASK_ADDRESS", "tcp://127.0.0.1:8786")
    there: Any = runner_from_environment()
    assert there.address == "tcp://127.0.0.1:8786"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("WORKERS", "0"), ("WORKERS", "two"), ("RUNNER", "slurm"), ("DASK_ADDRESS", "nowhere")],
)
def test_invalid_environment_variables_are_refused_by_name(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable == "DASK_ADDRESS":
        monkeypatch.setenv("MOTION_ADAPT_RUNNER", "threads")  # threads do not accept an address
    monkeypatch.setenv(f"MOTION_ADAPT_{variable}", value)
    with pytest.raises(BadVariable, match=r"MOTION_ADAPT_(WORKERS|RUNNER)"):
        runner_from_environment()
