"""The Prefect server of a run: the one that PREFECT_API_URL names, or a temporary one of this process.

Prefect itself waits for minutes for a server that has died or cannot be reached. Here its end is noticed at once, and
a long wait is announced.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

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
    if url := PREFECT_API_URL.value():
        _ask(url)
        return f"answers at {url}"
    began = time.monotonic()
    _start(limit or PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value(), verbose)
    return f"a temporary one started in {time.monotonic() - began:.0f} s"


def _ask(url: str) -> None:
    with get_client(sync_client=True, httpx_settings={"timeout": ANSWER}) as client:
        error = client.api_healthcheck()
    if isinstance(error, httpx.HTTPStatusError):
        return  # it answers; whether it lets this run in is found out by the run
    if error is not None:
        raise RunError(
            f"no Prefect server answers at {url} ({_in_short(error)}): start it, or unset PREFECT_API_URL and the run "
            "starts one of its own"
        ) from error


def _start(limit: float, verbose: bool) -> None:
    """Start the temporary server that Prefect would start, as its one instance in this process."""
    server, failed = SubprocessASGIServer(), []

    def start() -> None:
        try:
            server.start(timeout=int(limit))
        except Exception as error:  # told below, by the thread that waits
            failed.append(error)

    with tempfile.TemporaryFile() as log:
        starter = threading.Thread(target=start, daemon=True, name="Prefect server")
        began, announced = time.monotonic(), False
        with _errors_to(log, unless=verbose):
            starter.start()
            while starter.is_alive() and server.server_process is None:
                time.sleep(0.01)  # the server takes over what it prints to
        while starter.is_alive():
            starter.join(0.1)
            status = server.server_process.poll() if server.server_process else None
            if starter.is_alive() and status not in (None, _PORT_TAKEN):
                raise RunError(
                    f"the Prefect server of this run ended at once (status {status}){_last_line(log)}"
                )
            waited = time.monotonic() - began
            if waited > ANNOUNCED and not announced:
                announced = True
                say(
                    console,
                    "waiting",
                    f"the Prefect server of this run has not answered at {server.address} for {waited:.0f} s: the "
                    "machine is busy, or something keeps this process from its own address; at most "
                    f"{limit:.0f} s{_last_line(log)}",
                    "yellow",
                )
        if failed:
            why = _last_line(log) or f": {_in_short(failed[0])}"
            raise RunError(
                f"the Prefect server of this run did not answer at {server.address}{why}"
            ) from failed[0]


@contextmanager
def _errors_to(log: IO[bytes], *, unless: bool) -> Iterator[None]:
    """Have processes that are started in the block print their errors to a file."""
    if unless:
        yield
        return
    kept = os.dup(2)
    try:
        os.dup2(log.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _last_line(log: IO[bytes]) -> str:
    """The last line of what a server has printed, after a colon; an empty string if it printed nothing."""
    printed = os.pread(log.fileno(), _LOG, 0)  # leaves alone where the server writes on
    lines = [line.strip() for line in printed.decode(errors="replace").splitlines() if line.strip()]
    return f": {lines[-1]}" if lines else ""


def _in_short(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
