"""Progress of long work inside a task, shown where somebody watches and silent where nobody does.

A task says `with track(len(frames)) as advance: ... advance(8)`. The command line installs a rich display in its own
process; in other processes (a Dask worker, a scheduled run) the calls cost nothing.

Where a run is ended before its time, `advance` is also where its tasks notice: threads can't be killed, and a training
may have hours to go.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import Progress

_display: Progress | None = None
_stopping = threading.Event()


class Stopped(RuntimeError):
    """The run is being ended: a task gives up at its next step, and goes on from its last state another time."""


def stop_tasks() -> None:
    """Have the tasks of this process give up, until `let_tasks_run`."""
    _stopping.set()


def let_tasks_run() -> None:
    """Have no task give up."""
    _stopping.clear()


def raise_if_stopping() -> None:
    """Raise Stopped where the tasks of this process are to give up."""
    if _stopping.is_set():
        raise Stopped("the run is being ended")


@contextmanager
def shown_on(display: Progress) -> Iterator[None]:
    """Show the progress of tasks in this process on `display`."""
    global _display
    _display = display
    try:
        yield
    finally:
        _display = None


@contextmanager
def track(total: int, label: str) -> Iterator[Callable[[int], None]]:
    """A bar of `total` units; yields the function that advances it. The bar goes away at the end of the block.

    The function raises Stopped where the run is being ended.
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
