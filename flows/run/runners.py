"""Task runners: where a flow's tasks run, in threads of this process, on a local Dask cluster, or on a running one."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Self

from prefect.context import FlowRunContext
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import let_tasks_run, stop_tasks
from motion_adapt.tasks.runtime.stage import Stage
from motion_adapt.tasks.runtime.variables import ADDRESS, RUNNER, BadVariable, workers_from_environment

GPU_RESOURCE = "GPU"  # Dask workers with a GPU are started with: dask worker --resources GPU=1


class StoppableThreads(ThreadPoolTaskRunner[Any]):
    """Runs tasks in threads of this process, which stop at their next step if the flow ends before they do.

    Prefect's own runner would wait for them to finish.
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
        let_tasks_run()  # skipped if a second Ctrl-C ends the wait, because some tasks have yet to stop


def task_runner(kind: str, workers: int, address: str | None = None) -> TaskRunner[Any]:
    """Return the task runner for a flow.

    Args:
        kind: `threads` for threads of this process, `dask` for processes of a Dask cluster.
        workers: number of tasks that run at once: threads, or processes of a local cluster.
        address: a running Dask scheduler, whose workers must see the same store and scratch folder.

    Raises:
        ValueError: if the kind is neither, or an address is given for threads.
    """
    if kind not in ("threads", "dask"):
        raise ValueError(f"runner: wanted threads or dask, got {kind}")
    if kind == "threads":
        if address:
            raise ValueError("the address of a Dask scheduler needs the runner dask")
        return StoppableThreads(max_workers=workers)
    from prefect_dask import DaskTaskRunner

    if address:
        return DaskTaskRunner(address=address)
    # One task at a time in each process, because a stage sets the thread count of its process.
    options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
    return DaskTaskRunner(cluster_kwargs=options)


def runner_from_environment() -> TaskRunner[Any]:
    """Return the runner of a flow that is not started from the command line (a deployment), from the environment.

    The default is one task at a time, because each clip in progress needs a lot of memory.

    Raises:
        BadVariable: if the kind, the address or the number of workers is invalid.
    """
    address = os.environ.get(ADDRESS)
    kind = os.environ.get(RUNNER, "dask" if address else "threads")
    workers = workers_from_environment()
    try:
        return task_runner(kind, workers, address)
    except ValueError as error:
        raise BadVariable(f"{RUNNER}={kind}: {error}") from error


def resolved(place: Place) -> Place:
    """Return the place of a flow's tasks with a definite device, of this machine or of the workers of another cluster.

    On another cluster, `auto` is a GPU if a worker declares one (`--resources GPU=1`).

    Raises:
        ValueError: if tasks run on this machine and it does not have the device.
    """
    context = FlowRunContext.get()
    elsewhere = bool(context and getattr(context.task_runner, "address", None))
    return place.resolved(gpus_named() if elsewhere else None)


def gpus_named() -> bool:
    """Return whether the flow's tasks run on a Dask cluster with a worker that declares a GPU resource."""
    context = FlowRunContext.get()
    client = getattr(context.task_runner, "client", None) if context else None
    workers = client.scheduler_info(n_workers=-1)["workers"].values() if client else ()
    return any(GPU_RESOURCE in worker["resources"] for worker in workers)


def placed(stage: Stage, arguments: Mapping[str, Any]) -> AbstractContextManager[Any]:
    """Send a task that uses a GPU to the Dask workers that declare one, if there are any."""
    if not arguments["place"].device.startswith("cuda") or not stage.uses_gpu(arguments) or not gpus_named():
        return nullcontext()
    import dask

    resources: AbstractContextManager[Any] = dask.annotate(resources={GPU_RESOURCE: 1})
    return resources


DEFAULT_RUNNER = runner_from_environment()  # the runner of every flow
