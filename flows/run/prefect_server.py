"""The Prefect server of a run: the one that PREFECT_API_URL names, or a temporary one of this process.

Prefect itself waits for minutes for a server that has died or cannot be reached. Here its end is noticed at once, and
a long wait is announced.
"""

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
from prefect.client.orchestration import get_client
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS

from motion_adapt.flows.run.console import console, say
from motion_adapt.flows.run.errors import RunError

ANSWER = 8.0  # seconds for a server that is named to answer
ANNOUNCED = 20.0  # seconds of waiting for a temporary server before that is said
_LOG = 2**20  # bytes of what a temporary server prints that are read
_PORT_TAKEN = 3  # exit status of a temporary server with which Prefect tries another port


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


def _ask(url: str) -> str:
    with get_client(sync_client=True, httpx_settings={"timeout": ANSWER}) as client:
        error = client.api_healthcheck()
    # a server that answers with an error is one; whether it lets this run in is found out by the run
    if error is not None and not isinstance(error, httpx.HTTPStatusError):
        raise RunError(
            f"no Prefect server answers at {url} ({_in_short(error)}): start it, or unset PREFECT_API_URL and the run "
            "starts one of its own"
        ) from error
    return f"answers at {url}"


class _Starting:
    """Starts the temporary server that Prefect would start, as its one instance in this process."""

    def __init__(self, limit: float, verbose: bool) -> None:
        self.limit, self.server = limit, SubprocessASGIServer()
        self.failed: list[Exception] = []
        self.began = time.monotonic()
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # Windows deletes no open file
        self.log = Path(self.folder.name) / "server.log"
        self.thread = threading.Thread(target=self._start, daemon=True, name="Prefect server")
        with _errors_to(self.log, unless=verbose):
            self.thread.start()
            while self.thread.is_alive() and self.server.server_process is None:
                time.sleep(0.01)  # the server takes over what it prints to

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
                status = self.server.server_process.poll() if self.server.server_process else None
                if self.thread.is_alive() and status not in (None, _PORT_TAKEN):
                    raise RunError(
                        f"the Prefect server of this run ended at once (status {status}){_last_line(self.log)}"
                    )
                waited = time.monotonic() - self.began
                if time.monotonic() - waiting > ANNOUNCED and not announced:
                    announced = True
                    say(
                        console,
                        "waiting",
                        f"the Prefect server of this run has not answered at {self.server.address} for {waited:.0f} s: "
                        "the machine is busy, or something keeps this process from its own address; at most "
                        f"{self.limit:.0f} s{_last_line(self.log)}",
                        "yellow",
                    )
            if self.failed:
                why = _last_line(self.log) or f": {_in_short(self.failed[0])}"
                raise RunError(
                    f"the Prefect server of this run did not answer at {self.server.address}{why}"
                ) from self.failed[0]
        return f"a temporary one started in {time.monotonic() - self.began:.0f} s"


@contextmanager
def _errors_to(log: Path, *, unless: bool) -> Iterator[None]:
    """Have processes that are started in the block print their errors to a file."""
    log.touch()
    if unless:
        yield
        return
    kept = os.dup(2)
    try:
        with log.open("wb") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _last_line(log: Path) -> str:
    """Return the last line that a server has printed, after a colon; an empty string if it printed nothing."""
    with log.open("rb") as file:
        printed = file.read(_LOG)
    lines = [line.strip() for line in printed.decode(errors="replace").splitlines() if line.strip()]
    return f": {lines[-1]}" if lines else ""


def _in_short(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
