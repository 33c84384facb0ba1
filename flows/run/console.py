"""Console lines: a coloured word, then plain text, without interpreting brackets as markup and without wrapping."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

SECONDS_BETWEEN_LINES = 30.0


def say(console: Console, head: str, text: str, style: str = "") -> None:
    """Print one line."""
    console.print(Text.assemble((head, style), " ", text), soft_wrap=True)


console = Console(stderr=True)


@dataclass
class _Task:
    description: str
    total: int
    done: float = 0


class ProgressLines:
    """Shows progress where bars cannot be drawn, as in a log file: now and then, a line about the tasks in hand."""

    def __init__(self, console: Console, every: float = SECONDS_BETWEEN_LINES) -> None:
        self.console, self.every = console, every
        self.tasks: dict[int, _Task] = {}
        self.numbers = itertools.count()
        self.last = time.monotonic()
        self.lock = threading.Lock()

    def add_task(self, description: str, *, total: int) -> int:
        """Begin to tell of a task; returns its number."""
        number = next(self.numbers)
        with self.lock:
            self.tasks[number] = _Task(description, total)
        return number

    def advance(self, task_id: int, advance: float) -> None:
        """Add to what is done of a task, and print a line if the last one is old enough."""
        with self.lock:
            self.tasks[task_id].done += advance
            if time.monotonic() - self.last < self.every:
                return
            self.last = time.monotonic()
            shown = (f"{task.description} {task.done:g}/{task.total}" for task in self.tasks.values())
            say(self.console, time.strftime("%H:%M:%S"), ", ".join(shown))

    def remove_task(self, task_id: int) -> None:
        """Tell of a task no longer."""
        with self.lock:
            del self.tasks[task_id]


@contextmanager
def progress_bars(console: Console) -> Iterator[None]:
    """Show the progress of tasks in this process on `console`: bars on a terminal, elsewhere lines now and then."""
    # here, for the command line answers --help without them
    from motion_adapt.tasks.runtime.progress import shown_on

    if not (console.is_terminal or console.is_jupyter):
        with shown_on(ProgressLines(console, SECONDS_BETWEEN_LINES)):
            yield
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    task = TextColumn("{task.description}", markup=False)
    columns = (task, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as display, shown_on(display):
        yield


@contextmanager
def silence() -> Iterator[None]:
    """Print none of a run's lines; its report has them."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before
