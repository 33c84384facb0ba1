"""Environment variables that set the runner of flows not started from the command line (deployments)."""

import os

RUNNER = "MOTION_ADAPT_RUNNER"  # threads or dask
WORKERS = "MOTION_ADAPT_WORKERS"  # number of tasks that run at once
ADDRESS = "MOTION_ADAPT_DASK_ADDRESS"  # of the scheduler of a Dask cluster


class BadVariable(ValueError):
    """An environment variable has an invalid value."""


def workers_from_environment() -> int:
    """Return how many tasks run at once; 1 if the variable is not set.

    Raises:
        BadVariable: if its value is not a whole number of 1 or more.
    """
    text = os.environ.get(WORKERS, "1").strip()
    if not text.isdecimal() or int(text) < 1:
        raise BadVariable(f"{WORKERS}: wanted a whole number of 1 or more, got {text!r}")
    return int(text)
