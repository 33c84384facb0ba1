"""Environment defaults for Prefect, MLflow and Dask, set before they are imported; never override the user's values.

Prefect's temporary server may need longer than its default of 20 s on a cold or busy machine. The libraries' log lines
are silenced, because a run prints its own report. Telemetry is off.
"""

import os

PREFECT = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
}
_OTHERS = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "DASK_LOGGING__DISTRIBUTED": "warning",
    "OPENCV_LOG_LEVEL": "ERROR",
}


def quiet(*, verbose: bool = False, prefect: bool = True) -> None:
    """Set the defaults of this process.

    Args:
        verbose: let Prefect's log through.
        prefect: set Prefect's defaults too; they have no effect if Prefect is already imported.
    """
    for name, value in ({**PREFECT, **_OTHERS} if prefect else _OTHERS).items():
        os.environ.setdefault(name, value)
    if verbose:
        os.environ["PREFECT_LOGGING_LEVEL"] = "INFO"
