"""Environment defaults for Prefect, MLflow and Dask, set before they are imported; never override the user's values.

Prefect's temporary server may need longer than its default of 20 s on a cold or busy machine. The libraries' log lines
are silenced, because a run prints its own report. Telemetry is off.
"""

import os

_DEFAULTS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "DASK_LOGGING__DISTRIBUTED": "warning",
    "OPENCV_LOG_LEVEL": "ERROR",
}


def quiet(*, verbose: bool = False) -> None:
    """Set the defaults for a run from the command line; `verbose` shows Prefect's log."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    if verbose:
        os.environ["PREFECT_LOGGING_LEVEL"] = "INFO"
