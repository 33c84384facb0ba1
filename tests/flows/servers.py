"""External programs that a test starts: their ports, logs and end, and the addresses at which they listen."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

BIN = Path(sys.executable).parent
LOOPBACK = {"127.0.0.1", "::1"}
PATIENCE = 600.0  # seconds; on a busy machine everything takes long


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running(
    command: Sequence[object], environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program during the block; kill it and its children afterwards."""
    with log.open("ab") as file:
        program = subprocess.Popen(
            [str(part) for part in command],
            env=environment, stdout=file, stderr=file, cwd=log.parent, start_new_session=True,
        )  # fmt: skip
    try:
        yield program
    finally:
        kill(program)


@contextmanager
def serving(
    command: Sequence[object], health: str, environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server during the block, once it answers at its health URL and listens on this machine only."""
    with running(command, environment, log) as server:
        wait_until(lambda: answers(health), server, log)
        assert listening(server) == {"127.0.0.1"}
        yield server


def kill(program: subprocess.Popen[bytes]) -> None:
    """Kill a program and all its descendants, including those in process groups of their own."""
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(program.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.kill()
    with suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)
    program.wait()


def wait_until(reached: Callable[[], bool], program: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a condition that must become true while a program runs."""
    until = time.monotonic() + PATIENCE
    while not reached():
        assert program.poll() is None and time.monotonic() < until, log.read_text(errors="replace")
        time.sleep(0.05)


def training_begun(scratch: Path) -> bool:
    """Return whether the corrector's adaptation has saved a state."""
    return bool(list(scratch.glob("adapted-corrector-*.pt")))


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def listening(program: subprocess.Popen[bytes]) -> set[str]:
    """Return the addresses at which a program and its descendants listen."""
    found = set()
    root = psutil.Process(program.pid)
    for process in (root, *root.children(recursive=True)):
        try:
            connections = process.net_connections("inet")
        except psutil.Error:  # it has just ended
            continue
        found |= {item.laddr.ip for item in connections if item.status == psutil.CONN_LISTEN}
    return found
