"""Errors of a run, and their one-line descriptions."""

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from motion_adapt.storage.artifacts.files import DamagedArtifact
from motion_adapt.storage.clips.find_clips import ClipError
from motion_adapt.storage.keys import Artifact

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture


class RunError(RuntimeError):
    """The whole run cannot continue; the message says why and what to do."""


def outcome(future: "PrefectFuture[Artifact]") -> Artifact | BaseException:
    """Return a task's artifact or its error. A task whose Dask workers died one after the other counts as failed."""
    try:
        result: Artifact | BaseException = future.result(raise_on_failure=False)
    except Exception as error:
        # Compared by name, so that Dask is not imported without need.
        if type(error).__name__ != "KilledWorker":
            raise
        return RunError("every worker that tried it died; it may need more memory than one worker has")
    return result


def reason(error: BaseException) -> str:
    """Describe an error in one line; unexpected errors (bugs) with their type and place."""
    if isinstance(error, ClipError):
        return error.reason
    if isinstance(error, DamagedArtifact | RunError | ValueError | OSError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(where[-1].filename).name}:{where[-1].lineno}" if where else ""
    return f"unexpected {type(error).__name__}{place}: {error}"
