"""Where a flow's tasks run: threads of this process, or a Dask cluster on this machine."""

from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

# The default of every flow: one task at a time, with all threads for its arithmetic. A clip's arrays are large, and
# so is what many clips at once would take.
ONE_AT_A_TIME: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=1)


def task_runner(kind: str, workers: int) -> TaskRunner[Any]:
    """`threads`: `workers` tasks at once in this process; `dask`: in as many processes of a local cluster.

    Raises:
        ValueError: for another kind.
    """
    if kind == "threads":
        return ThreadPoolTaskRunner(max_workers=workers)
    if kind == "dask":
        from prefect_dask import DaskTaskRunner

        options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
        return DaskTaskRunner(cluster_kwargs=options)
    raise ValueError(f"runner: wanted threads or dask, got {kind}")
