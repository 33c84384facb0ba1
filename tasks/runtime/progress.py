"""Progress of long work inside a task.

A task says `with track(len(frames)) as advance: ... advance(8)`. The command line installs a display in its own
process; in other processes (a Dask worker, a scheduled run) nothing is shown and the calls cost nothing.

`advance` is also where tasks notice that the run is being ended: threads cannot be killed, and a training may have
hours left.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Display(Protocol):
    """What shows the progress of tasks, such as rich's `Progress`. Its methods are called from any thread."""

    def add_task(self, description: str, *, total: int) -> Any:
        """Begin to show a task; returns its number."""

    def advance(self, task_id: Any, advance: float) -> None:
        """Add to what is done of a task."""

    def remove_task(self, task_id: Any) -> None:
        """Show a task no longer."""


_display: Display | None = None
_stopping = threading.Event()


class Stopped(RuntimeError):
    """The run is being ended: a task stops at its next step, and a later run resumes from its last state."""


def stop_tasks() -> None:
    """Make the tasks of this process stop at their next step, until `let_tasks_run` is called."""
    _stopping.set()


def let_tasks_run() -> None:
    """Let tasks run again."""
    _stopping.clear()


def raise_if_stopping() -> None:
    """Raise Stopped if the tasks of this process are to stop."""
    if _stopping.is_set():
        raise Stopped("the run is being ended")


@contextmanager
def shown_on(display: Display) -> Iterator[None]:
    """Show the progress of tasks in this process on `display`."""
    global _display
    _display = display
    try:
        yield
    finally:
        _display = None


@contextmanager
def track(total: int, label: str) -> Iterator[Callable[[int], None]]:
    """Show a bar of `total` units during the block; yield the function that advances it.

    That function raises Stopped if the run is being ended.
    """
    display = _display
    bar = display.add_task(label, total=total) if display else None

    def advance(units: int) -> None:
        raise_if_stopping()
        if display and bar is not None:
            display.advance(bar, units)

    try:
        yield advance
    finally:
        if display and bar is not None:
            display.remove_task(bar)
