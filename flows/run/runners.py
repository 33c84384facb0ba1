"""Where a flow's tasks run: threads of this process, a Dask cluster on this machine, or one that is there already."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Self

from prefect import Task
from prefect.context import FlowRunContext
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import let_tasks_run, stop_tasks
from motion_adapt.tasks.runtime.stage import uses_gpu
from motion_adapt.tasks.runtime.variables import ADDRESS, RUNNER, BadVariable, workers_from_environment

GPU_RESOURCE = "GPU"  # what Dask workers with a GPU are started with: dask worker --resources GPU=1


class StoppableThreads(ThreadPoolTaskRunner[Any]):
    """Tasks in threads of this process, which give up at their next step where the flow ends before them.

    Prefect's own runner waits for them to finish.
    """

    def __enter__(self) -> Self:
        let_tasks_run()
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        stop_tasks()
        super().__exit__(kind, error, traceback)
        let_tasks_run()  # not where a second Ctrl-C cuts the wait short: some have to hear of it still


def task_runner(kind: str, workers: int, address: str | None = None) -> TaskRunner[Any]:
    """`threads`: `workers` tasks at once in this process; `dask`: in as many processes of a local cluster.

    With the `address` of a Dask scheduler, tasks run on its workers, which see the same store and scratch folder.

    Raises:
        ValueError: for another kind, or an address that the kind has no use for.
    """
    if kind not in ("threads", "dask"):
        raise ValueError(f"runner: wanted threads or dask, got {kind}")
    if kind == "threads":
        if address:
            raise ValueError("the address of a Dask scheduler goes with the runner dask")
        return StoppableThreads(max_workers=workers)
    from prefect_dask import DaskTaskRunner

    if address:
        return DaskTaskRunner(address=address)
    # One task at a time in each process: a stage sets the threads of its arithmetic for the whole process.
    options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
    return DaskTaskRunner(cluster_kwargs=options)


def runner_from_environment() -> TaskRunner[Any]:
    """The runner of a flow that no command line starts (a deployment): one task at a time, if nothing else is said.

    A clip's arrays are large, and so is what many clips at once would take.

    Raises:
        BadVariable: for a kind, an address or a number that can't be.
    """
    address = os.environ.get(ADDRESS)
    kind = os.environ.get(RUNNER, "dask" if address else "threads")
    workers = workers_from_environment()
    try:
        return task_runner(kind, workers, address)
    except ValueError as error:
        raise BadVariable(f"{RUNNER}={kind}: {error}") from error


def resolved(place: Place) -> Place:
    """The place of a flow's tasks, its device known: one of this machine, or of the workers of a cluster elsewhere.

    There `auto` is a GPU where a worker names one (`--resources GPU=1`).

    Raises:
        ValueError: for a device that this machine does not have, where tasks run on it.
    """
    context = FlowRunContext.get()
    elsewhere = bool(context and getattr(context.task_runner, "address", None))
    return place.resolved(gpus_named() if elsewhere else None)


def gpus_named() -> bool:
    """Whether the flow's tasks run on a Dask cluster of which a worker names a GPU among its resources."""
    context = FlowRunContext.get()
    client = getattr(context.task_runner, "client", None) if context else None
    workers = client.scheduler_info(n_workers=-1)["workers"].values() if client else ()
    return any(GPU_RESOURCE in worker["resources"] for worker in workers)


def placed(task: Task[..., Any], arguments: Mapping[str, Any]) -> AbstractContextManager[Any]:
    """Send what computes on a GPU to the Dask workers that have one, where the cluster names any."""
    if not arguments["place"].device.startswith("cuda") or not uses_gpu(task, arguments) or not gpus_named():
        return nullcontext()
    import dask

    resources: AbstractContextManager[Any] = dask.annotate(resources={GPU_RESOURCE: 1})
    return resources


DEFAULT_RUNNER = runner_from_environment()  # of every flow
