"""Progress of long work inside a task, shown where somebody watches and silent where nobody does.

A task says `with track(len(frames)) as advance: ... advance(8)`. The command line installs a rich display in its own
process; in other processes (a Dask worker, a scheduled run) the calls cost nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import Progress

_display: Progress | None = None


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
    """A bar of `total` units; yields the function that advances it. The bar goes away at the end of the block."""
    if _display is None:
        yield lambda units: None
        return
    display = _display
    bar = display.add_task(label, total=total)
    try:
        yield lambda units: display.advance(bar, units)
    finally:
        display.remove_task(bar)
