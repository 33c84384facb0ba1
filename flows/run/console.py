"""Console lines: a coloured word, then plain text, without interpreting brackets as markup and without wrapping."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text


def say(console: Console, head: str, text: str, style: str = "") -> None:
    """Print one line."""
    console.print(Text.assemble((head, style), " ", text), soft_wrap=True)


console = Console(stderr=True)


@contextmanager
def progress_bars(console: Console) -> Iterator[None]:
    """Show the progress of tasks in this process on `console`."""
    # here, for the command line answers --help without them
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from motion_adapt.tasks.runtime.progress import shown_on

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
