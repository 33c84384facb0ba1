"""Errors of a run, and their one-line descriptions."""

import traceback
from pathlib import Path

from prefect.futures import PrefectFuture

from motion_adapt.storage.artifacts.files import DamagedArtifact
from motion_adapt.storage.clips.find_clips import ClipError
from motion_adapt.storage.keys import Artifact


class RunError(RuntimeError):
    """The whole run cannot go on; the message says why and what to do."""


def outcome(future: PrefectFuture[Artifact]) -> Artifact | BaseException:
    """What a task came to. A task on which Dask's workers die one after the other has failed, and no more than that."""
    try:
        result: Artifact | BaseException = future.result(raise_on_failure=False)
    except Exception as error:
        if type(error).__name__ != "KilledWorker":  # by name: where nothing runs on Dask, it is not imported
            raise
        return RunError("every worker that tried it died; it may need more memory than a worker has")
    return result


def reason(error: BaseException) -> str:
    """An error as one line for a person; a defect of ours keeps its type and place."""
    if isinstance(error, ClipError):
        return error.reason
    if isinstance(error, DamagedArtifact | RunError | ValueError | OSError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(where[-1].filename).name}:{where[-1].lineno}" if where else ""
    return f"unexpected {type(error).__name__}{place}: {error}"
