"""Commands in processes that can be killed, forked from a process that has imported everything.

Starting Python with all libraries takes ten times as long as a run on tiny clips; with forks, many kills take minutes.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

from prefect.settings import PREFECT_API_URL, temporary_settings

PATIENCE = 900.0  # seconds; on a busy machine everything takes long
_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(
    [
        __name__,
        "motion_adapt.flows.cli.app",
        "motion_adapt.flows.adapt",
        "motion_adapt.flows.pretrain",
        "mlflow.tracking",
    ]
)


@dataclass(frozen=True)
class Fuse:
    """Kills the process before or after the `count`th call of a function, "module:Class.method"."""

    function: str
    count: int = 1
    after: bool = False

    def light(self) -> None:
        module, _, path = self.function.partition(":")
        *parts, name = path.split(".")
        holder: Any = reduce(getattr, parts, import_module(module))
        whole, left = getattr(holder, name), self.count

        def burning(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0 and not self.after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = whole(*args, **kwargs)
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(holder, name, burning)


class Command:
    """A motion-adapt command in a separate process, on the Prefect server of this test."""

    def __init__(self, *arguments: object, log: Path, fuse: Fuse | None = None) -> None:
        self.log = log
        given = [str(argument) for argument in arguments], PREFECT_API_URL.value(), log, fuse
        self._process = _FORKING.Process(target=_work, args=given)
        self._process.start()

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def wait(self) -> int:
        """Return its exit status, -9 if it was killed."""
        self._process.join(PATIENCE)
        if self.running:
            self.kill()
            raise TimeoutError(f"still running after {PATIENCE} seconds: {self.log.read_text()}")
        assert self._process.exitcode is not None
        return self._process.exitcode

    def kill(self) -> None:
        with suppress(ProcessLookupError):  # it has just ended
            self.signal(signal.SIGKILL)
        self._process.join()

    def signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill_after(self, seconds: float) -> int:
        """Kill it unless it ends sooner. Returns its exit status."""
        self._process.join(seconds)
        self.kill()
        return self.wait()

    def kill_when(self, reached: Callable[[], bool]) -> None:
        """Kill it as soon as a condition holds; fail if it never does while the command runs."""
        self.wait_for(reached)
        self.kill()

    def wait_for(self, reached: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not reached():
            if not self.running or time.monotonic() > until:
                self.kill()
                raise AssertionError(f"it never came so far: {self.log.read_text()}")
            time.sleep(0.005)


def _work(arguments: list[str], server: str | None, log: Path, fuse: Fuse | None) -> None:
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
    if fuse:
        fuse.light()
    from motion_adapt.flows.cli.app import app

    with temporary_settings({PREFECT_API_URL: server}):
        app(arguments)
