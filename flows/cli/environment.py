"""Environment defaults for Prefect, MLflow and Dask, set before they are imported; never override the user's values.

Prefect's temporary server may need longer than its default of 20 s on a cold or busy machine. The libraries' log lines
are silenced, because a run prints its own report. Telemetry is off.

Containers and company networks often lack what Prefect takes for granted: a home folder that can be written, a user
name, and a way to the own machine past the proxy. What is missing is made up for here.
"""

import getpass
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from motion_adapt.flows.cli.proxies import spare_loopback

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


def quiet(*, verbose: bool = False, prefect: bool = True, store: str | None = None) -> list[str]:
    """Set the defaults of this process. Returns one sentence for each setting of the user that cannot be used.

    Args:
        verbose: let Prefect's log through.
        prefect: set Prefect's defaults too; they have no effect if Prefect is already imported.
        store: the artifact store of the run; Prefect keeps its files next to it if the home folder cannot be written.
    """
    for name, value in ({**PREFECT, **_OTHERS} if prefect else _OTHERS).items():
        os.environ.setdefault(name, value)
    if verbose:
        os.environ["PREFECT_LOGGING_LEVEL"] = "INFO"
    name_user()
    settle(store)
    return spare_loopback()


def name_user() -> None:
    """Give a user without a name, as in many containers, one for the libraries that ask."""
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):
        os.environ["LOGNAME"] = os.environ["USER"] = f"uid{_user_id()}"


def settle(store: str | None) -> None:
    """Name a folder for Prefect's files if `~/.prefect` cannot be used, and a home if there is none."""
    try:
        home: Path | None = Path.home()
    except RuntimeError:  # no HOME, and a user that the system does not know
        home = None
    if home is not None and ("PREFECT_HOME" in os.environ or usable(home / ".prefect")):
        return
    place = next(folder for folder in _places(store) if usable(folder))
    if home is None:
        os.environ["HOME"] = str(place.parent)
    profiles = home / ".prefect" / "profiles.toml" if home else None
    if profiles and os.access(profiles, os.R_OK):
        os.environ.setdefault("PREFECT_PROFILES_PATH", str(profiles))
    os.environ.setdefault("PREFECT_HOME", str(place))


def _user_id() -> int:
    """Return the number of the user, or 0 on a system that does not number its users."""
    return os.getuid() if hasattr(os, "getuid") else 0


def usable(folder: Path) -> bool:
    """Return whether a folder exists or can be created, and it and Prefect's files in it can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        return False
    there = [folder / name for name in ("prefect.db", "storage", "profiles.toml")]
    return all(os.access(path, os.W_OK) for path in there if path.exists())


def _places(store: str | None) -> Iterator[Path]:
    """Yield folders for Prefect's files, the best first: next to a local store, else a folder of this process."""
    if store is not None and "://" not in store:
        yield Path(store).absolute().parent / "prefect"
    yield Path("motion-adapt/prefect").absolute()
    yield Path(tempfile.gettempdir()) / f"motion-adapt-{_user_id()}" / "prefect"
    yield Path(tempfile.mkdtemp(prefix="motion-adapt-")) / "prefect"
