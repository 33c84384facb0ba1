"""The Prefect server of a run: the one that PREFECT_API_URL names, or a temporary one of this process.

Prefect could start the temporary one itself, but imports the server's code for it, which takes seconds. It also waits
for minutes for a server that has died or cannot be reached. Here a server's end is noticed at once, and a long wait is
announced.
"""

import atexit
import os
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path

import httpx
from prefect.client.base import ServerType
from prefect.client.orchestration import get_client
from prefect.context import refresh_global_settings_context
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    get_current_settings,
    temporary_settings,
)

from motion_adapt.flows.run.console import console, say
from motion_adapt.flows.run.errors import RunError

ANSWER = 15.0  # seconds for a server that is named to answer, on a busy machine too
ANNOUNCED = 20.0  # seconds of waiting for a temporary server before that is said
END = 5.0  # seconds for a temporary server to end
_LOG = 2**20  # bytes at the end of what a temporary server prints that are read
# As in flows/cli/launch.py, imports are not searched for garbage, and the server starts a second earlier.
_PROGRAM = (
    "import gc; gc.disable(); import uvicorn, prefect.server.api.server; "
    "gc.freeze(); gc.enable(); uvicorn.main()"
)
_ARGUMENTS = (
    "--factory", "prefect.server.api.server:create_app",
    "--host", "127.0.0.1", "--lifespan", "on", "--log-level", "error",
)  # fmt: skip
_ENVIRONMENT = {
    "PREFECT_UI_ENABLED": "false",
    "PREFECT__SERVER_EPHEMERAL": "1",  # no schedules
    "PREFECT__SERVER_FINAL": "1",
    # No run uses a block, and to register them the server imports Dask.
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
}


def begin_server(*, verbose: bool = False, limit: float | None = None) -> AbstractContextManager[str]:
    """Begin to start a temporary server if none is named, and return the block in which flows use the server.

    The start takes seconds, in a process of its own; libraries can be imported meanwhile. The block begins once the
    server answers, with a description of it, or raises RunError if there is none, and why. One temporary server serves
    all blocks of a process and ends with the process, so this can be called again at any time.

    Args:
        verbose: show what a temporary server prints.
        limit: seconds for a temporary server to start; None: Prefect's own setting.
    """
    if url := PREFECT_API_URL.value():
        return _named(url)
    return _temporary(TemporaryServer.of_this_process(verbose), limit)


@contextmanager
def _named(url: str) -> Iterator[str]:
    remedy = "start it, or unset PREFECT_API_URL and the run starts one of its own"
    try:
        # Prefect would ask again for two minutes.
        with (
            temporary_settings(updates={PREFECT_CLIENT_MAX_RETRIES: 0}),
            get_client(sync_client=True, httpx_settings={"timeout": ANSWER}) as client,
        ):
            if error := client.api_healthcheck():
                raise error
            if client.server_type != ServerType.CLOUD:
                client.api_version()
    except httpx.HTTPStatusError as error:
        raise RunError(_refused(url, error.response.status_code)) from error
    except ValueError as error:  # no JSON
        raise RunError(
            f"the server at {url} is not a Prefect API: PREFECT_API_URL must name one, as in http://HOST:4200/api"
        ) from error
    except Exception as error:
        raise RunError(f"no Prefect server answers at {url} ({_in_short(error)}): {remedy}") from error
    yield f"answers at {url}"


def _refused(url: str, status: int) -> str:
    told = f"the server at {url} answers with status {status}"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return f"{told}: set PREFECT_API_KEY or PREFECT_API_AUTH_STRING"
    if status == HTTPStatus.NOT_FOUND:
        return f"{told}: PREFECT_API_URL must name a Prefect server's API, as in http://HOST:4200/api"
    return f"{told}: its own log says why; or unset PREFECT_API_URL and the run starts one of its own"


@contextmanager
def _temporary(server: "TemporaryServer", limit: float | None) -> Iterator[str]:
    seconds = server.wait(limit or PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value())
    # Prefect's threads, and the processes of a Dask cluster, see the environment alone.
    os.environ["PREFECT_API_URL"] = f"{server.address}/api"
    refresh_global_settings_context()
    try:
        # Nobody asks this server whether a flow lives, and a flow waits a second for the thread that says so to end.
        with temporary_settings(updates={PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            yield f"a temporary one started in {seconds:.0f} s"
    finally:
        del os.environ["PREFECT_API_URL"]
        refresh_global_settings_context()


class TemporaryServer:
    """A Prefect server that a process starts for its own runs; it listens on this machine only."""

    _of_this_process: "TemporaryServer | None" = None

    def __init__(self, verbose: bool) -> None:
        """Begin its start. Unless `verbose`, its errors go to a file: they say why a server does not start."""
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # Windows deletes no open file
        self.log = Path(self.folder.name) / "server.log"
        self.verbose, self.began = verbose, time.monotonic()
        self.seconds: float | None = None  # that the start took
        self._start()
        atexit.register(self.stop)

    @classmethod
    def of_this_process(cls, verbose: bool) -> "TemporaryServer":
        """Return the server of this process; begin its start if there is none, or if it has died since it answered."""
        server = cls._of_this_process
        if server is None or (server.seconds is not None and server.process.poll() is not None):
            server = cls._of_this_process = cls(verbose)
        return server

    def _start(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        settings = get_current_settings().to_environment_variables(exclude_unset=True)  # a profile's too
        quiet = {} if self.verbose else {"PREFECT_SERVER_LOGGING_LEVEL": "ERROR"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, *_ARGUMENTS, "--port", str(port)],
                env={**os.environ, **settings, **quiet, **_ENVIRONMENT},
                stderr=None if self.verbose else log,
            )

    def wait(self, limit: float) -> float:
        """Wait until the server answers, at most `limit` seconds from the start on; return the seconds of the start.

        Raises:
            RunError: if it ends, or does not answer in time.
        """
        waiting, announced = time.monotonic(), False
        with httpx.Client(timeout=ANSWER, trust_env=False) as client:
            while self.seconds is None:
                if (status := self.process.poll()) is not None:
                    TemporaryServer._of_this_process = (
                        None  # once the cause is mended, another may be started
                    )
                    raise RunError(self._told(status))
                with suppress(httpx.TransportError):
                    if client.get(f"{self.address}/api/health").status_code == HTTPStatus.OK:
                        self.seconds = time.monotonic() - self.began
                        break
                waited = time.monotonic() - self.began
                if waited > limit:
                    raise RunError(
                        f"the Prefect server of this run did not answer at {self.address} in {waited:.0f} s"
                        f"{self._reason()}"
                    )
                if time.monotonic() - waiting > ANNOUNCED and not announced:
                    announced = True
                    say(
                        console,
                        "waiting",
                        f"the Prefect server of this run has not answered at {self.address} for {waited:.0f} s: the "
                        "machine is busy, or something keeps this process from its own address; at most "
                        f"{limit:.0f} s{self._reason()}",
                        "yellow",
                    )
                time.sleep(0.05)
        return self.seconds

    def stop(self) -> None:
        """End the server, and remove its log."""
        self.process.terminate()
        try:
            self.process.wait(END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def _told(self, status: int) -> str:
        """Describe the end of the server."""
        told = f"the Prefect server of this run ended at once (status {status}){self._reason()}"
        database = _database()
        if database is None or not database.exists():
            return told
        damage = _damage(database)
        if damage is None:
            return f"{told}; its database is {database}"
        return (
            f"the Prefect server of this run cannot read its database {database} ({damage}): move it away, with "
            f"{database.name}-wal and {database.name}-shm if they are there, and the next run creates a new one; only "
            "Prefect's records of runs and deployments are in it, no masks and no models"
        )

    def _reason(self) -> str:
        """Return the last error that it has printed, else its last line, after a colon; "" if it printed nothing."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _LOG))
            printed = file.read().decode(errors="replace")
        lines = [line.strip() for line in printed.splitlines() if line.strip()]
        errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
        return f": {(errors or lines)[-1]}" if lines else ""


def _database() -> Path | None:
    """Return the file of a temporary server's database; None if it uses a database server."""
    url = get_current_settings().server.database.connection_url
    found = re.match(r"sqlite[^:]*:///([^?]+)", url.get_secret_value() if url else "")
    return Path(found[1]) if found else None


def _damage(database: Path) -> str | None:
    """Return why SQLite cannot read a database, else None."""
    try:
        with closing(sqlite3.connect(database, timeout=0)) as opened:
            found = opened.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return None if error.sqlite_errorcode == sqlite3.SQLITE_BUSY else str(error)
    return None if found == "ok" else str(found)


def _in_short(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
