"""Environment variables for flows that no command line starts: the runner of a deployment."""

import os

RUNNER = "MOTION_ADAPT_RUNNER"  # threads or dask
WORKERS = "MOTION_ADAPT_WORKERS"  # how many tasks run at once
ADDRESS = "MOTION_ADAPT_DASK_ADDRESS"  # of the scheduler of a Dask cluster


class BadVariable(ValueError):
    """An environment variable with a value that it cannot have."""


def workers_from_environment() -> int:
    """Return how many tasks run at once, 1 if the environment does not say.

    Raises:
        BadVariable: if it says something other than a whole number of 1 or more.
    """
    text = os.environ.get(WORKERS, "1").strip()
    if not text.isdecimal() or int(text) < 1:
        raise BadVariable(f"{WORKERS}: wanted a whole number of 1 or more, got {text!r}")
    return int(text)
