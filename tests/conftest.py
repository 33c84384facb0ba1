"""Shared fixtures: one Prefect server for the session, and the folders of reference data if they are given."""

import atexit
import os
import pickle
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest
from filelock import FileLock
from hypothesis import settings

from tests.examples import SOAK

T = TypeVar("T")

settings.load_profile("soak" if SOAK else "test")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Results and profiles of the user, or of another pytest worker, must not affect a test: each process has its own.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="prefect-")
atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], ignore_errors=True)
if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores; must be set before torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")


# Services of the server that no run asks anything of. Together they take more time than all requests of the runs.
IDLE_SERVICES = (
    "CANCELLATION_CLEANUP",
    "EVENT_LOGGER",
    "EVENT_PERSISTER",
    "FOREMAN",
    "LATE_RUNS",
    "PAUSE_EXPIRATIONS",
    "REPOSSESSOR",
    "SCHEDULER",
    "TASK_RUN_RECORDER",  # without it the server knows flow runs, and no task runs
    "TRIGGERS",
)


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """Start a real Prefect server with its own database, once."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    harness = prefect_test_harness(server_startup_timeout=180)
    with pytest.MonkeyPatch.context() as environment:
        for service in IDLE_SERVICES:
            environment.setenv(f"PREFECT_SERVER_SERVICES_{service}_ENABLED", "false")
        harness.__enter__()
    try:
        # as in a run with a temporary server
        with temporary_settings(updates={PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            yield
    finally:
        harness.__exit__(None, None, None)


@pytest.fixture(scope="session")
def prefect_database(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database without runs, for servers that a test starts itself: the tables take longer than the start."""
    from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL

    there = (PREFECT_SERVER_DATABASE_CONNECTION_URL.value() or "").partition(":///")[2]
    path = tmp_path_factory.mktemp("prefect") / "prefect.db"
    with closing(sqlite3.connect(there)) as database:
        database.execute("VACUUM INTO ?", (str(path),))
    return path


def folder_from(variable: str) -> Path:
    """Return the folder that an environment variable names; skip the test if it is not set."""
    value = os.environ.get(variable)
    if not value or not Path(value).is_dir():
        pytest.skip(f"{variable} does not name a folder with reference data")
    return Path(value)


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], T]) -> T:
    """Return `make(folder)`. If several processes share the tests, the first one makes it for all."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return make(factory.mktemp(name))
    shared = factory.getbasetemp().parent
    made = shared / f"{name}.pickle"
    with FileLock(shared / f"{name}.lock"):
        if made.exists():
            found: T = pickle.loads(made.read_bytes())
            return found
        result = make(factory.mktemp(name))
        made.write_bytes(pickle.dumps(result))
        return result


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create an empty MLflow database, which takes seconds; tests start from a copy."""

    def create(folder: Path) -> Path:
        from motion_adapt.storage.tracking import Tracker

        Tracker(f"sqlite:///{folder}/mlflow.db", "Default")
        return folder / "mlflow.db"

    return once(tmp_path_factory, "mlflow", create)


@pytest.fixture(scope="session")
def data() -> Path:
    """Real clips: `tiny/`, `bad/`, `DAVIS2016-half/`."""
    return folder_from("MOTION_ADAPT_DATA")


@pytest.fixture(scope="session")
def weights() -> Path:
    """Weights for offline use: torchvision's RAFT in `torch/`, and a ViT as a file."""
    return folder_from("MOTION_ADAPT_WEIGHTS")


@pytest.fixture(scope="session")
def tiny_sams(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a tiny Segment Anything model of a kind, which is written once."""
    from tests.tiny_sams import save_tiny_sam

    root, made = tmp_path_factory.mktemp("sams"), dict[str, Path]()

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_tiny_sam(kind, root / kind)
        return made[kind]

    return folder
