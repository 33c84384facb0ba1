"""The Prefect server of a run: the one that PREFECT_API_URL names, or a temporary one of this process.

Prefect itself waits for minutes for a server that has died or cannot be reached, and starts one that ends with status 3
again and again. Here a server's end is noticed at once, and a long wait is announced.
"""

import os
import re
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx
from prefect.client.base import ServerType
from prefect.client.orchestration import get_client
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    PREFECT_SERVER_LOGGING_LEVEL,
    get_current_settings,
    temporary_settings,
)

from motion_adapt.flows.run.console import console, say
from motion_adapt.flows.run.errors import RunError

ANSWER = 15.0  # seconds for a server that is named to answer, on a busy machine too
ANNOUNCED = 20.0  # seconds of waiting for a temporary server before that is said
_LOG = 2**20  # bytes at the end of what a temporary server prints that are read
# Exit status with which Prefect starts a server again, and what it prints if that helps: another process took its port.
_RESTARTED, _PORT_TAKEN = 3, "address already in use"


def ensure_server(*, verbose: bool = False, limit: float | None = None) -> str:
    """Make sure that there is a server. Returns a description of it.

    Args:
        verbose: show what a temporary server prints.
        limit: seconds for a temporary server to start; None: Prefect's own setting.

    Raises:
        RunError: if there is no server, and why.
    """
    return begin_server(verbose=verbose, limit=limit)()


def begin_server(*, verbose: bool = False, limit: float | None = None) -> Callable[[], str]:
    """Begin what `ensure_server` does, and return a function that waits for it to end.

    A temporary server takes seconds to start, in a process of its own; libraries can be imported meanwhile.
    """
    if url := PREFECT_API_URL.value():
        return partial(_ask, url)
    starting = _Starting(limit or PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value(), verbose)
    return starting.wait


@contextmanager
def without_heartbeats() -> Iterator[None]:
    """Run flows in the block without heartbeats if their server is a temporary one.

    Nobody asks that server whether they live, and at its end a flow waits up to a second for the thread that says so.
    """
    if PREFECT_API_URL.value():
        yield
        return
    with temporary_settings(updates={PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def _ask(url: str) -> str:
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
    return f"answers at {url}"


def _refused(url: str, status: int) -> str:
    told = f"the server at {url} answers with status {status}"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return f"{told}: set PREFECT_API_KEY or PREFECT_API_AUTH_STRING"
    if status == HTTPStatus.NOT_FOUND:
        return f"{told}: PREFECT_API_URL must name a Prefect server's API, as in http://HOST:4200/api"
    return f"{told}: its own log says why; or unset PREFECT_API_URL and the run starts one of its own"


class _Ended(RuntimeError):
    """The temporary server has ended before it answered."""


class _Server(SubprocessASGIServer):
    """Prefect's temporary server, whose errors go to a file. It is started again only if its port was taken.

    Prefect keeps one instance per process, which it makes of its own class if this one is not first.
    """

    log: Path | None = None

    def _run_uvicorn_command(self) -> "Popen[Any]":
        if self.server_process is not None and _PORT_TAKEN not in _printed(self.log):
            raise _Ended
        if self.log is None:
            return super()._run_uvicorn_command()
        # Why a server does not start is an error to its log, which the terminal does not show.
        with _errors_to(self.log), temporary_settings(updates={PREFECT_SERVER_LOGGING_LEVEL: "ERROR"}):
            return super()._run_uvicorn_command()


class _Starting:
    """Starts the temporary server that Prefect would start, as its one instance in this process."""

    def __init__(self, limit: float, verbose: bool) -> None:
        self.limit, self.server = limit, _Server()
        self.failed: list[Exception] = []
        self.began = time.monotonic()
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # Windows deletes no open file
        self.log = Path(self.folder.name) / "server.log"
        self.log.touch()
        self.server.log = None if verbose else self.log
        self.thread = threading.Thread(target=self._start, daemon=True, name="Prefect server")
        self.thread.start()
        while self.thread.is_alive() and self.server.server_process is None:
            time.sleep(0.01)  # until then, what this process prints would go to the log too

    def _start(self) -> None:
        try:
            self.server.start(timeout=int(self.limit))
        except Exception as error:  # raised by `wait`
            self.failed.append(error)

    def wait(self) -> str:
        """Wait until the server answers; return a description of it."""
        with self.folder:
            waiting, announced = time.monotonic(), False
            while self.thread.is_alive():
                self.thread.join(0.1)
                process = self.server.server_process
                status = process.poll() if process else None
                if self.thread.is_alive() and status not in (None, _RESTARTED):
                    raise RunError(self._told(status))
                waited = time.monotonic() - self.began
                if time.monotonic() - waiting > ANNOUNCED and not announced:
                    announced = True
                    say(
                        console,
                        "waiting",
                        f"the Prefect server of this run has not answered at {self.server.address} for {waited:.0f} s: "
                        "the machine is busy, or something keeps this process from its own address; at most "
                        f"{self.limit:.0f} s{_reason(self.log)}",
                        "yellow",
                    )
            if self.failed:
                error = self.failed[0]
                if isinstance(error, _Ended):
                    raise RunError(self._told(_RESTARTED))
                why = _reason(self.log) or f": {_in_short(error)}"
                raise RunError(
                    f"the Prefect server of this run did not answer at {self.server.address}{why}"
                ) from error
        return f"a temporary one started in {time.monotonic() - self.began:.0f} s"

    def _told(self, status: int | None) -> str:
        """Describe the end of the server."""
        told = f"the Prefect server of this run ended at once (status {status}){_reason(self.log)}"
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


@contextmanager
def _errors_to(log: Path) -> Iterator[None]:
    """Have processes that are started in the block add their errors to a file."""
    kept = os.dup(2)
    try:
        with log.open("ab") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _printed(log: Path | None) -> str:
    """Return the end of what a server has printed."""
    if log is None or not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG))
        return file.read().decode(errors="replace")


def _reason(log: Path) -> str:
    """Return the last error that a server has printed, else its last line, after a colon; "" if it printed nothing."""
    lines = [line.strip() for line in _printed(log).splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
    return f": {(errors or lines)[-1]}" if lines else ""


def _in_short(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
