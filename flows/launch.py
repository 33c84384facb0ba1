"""Running a flow for a person: progress while it runs, its report at the end, and errors in a line.

Heavy libraries are imported when a flow is started and not before, so that --help answers at once.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from flows.environment import quiet
from flows.lines import say
from storage.whole import whole_file

if TYPE_CHECKING:
    from flows.report import Report

WIDTH = None if sys.stdout.isatty() else 160  # where there is no terminal, lines are not cut to 80 signs
out, err = Console(width=WIDTH), Console(stderr=True)


@contextmanager
def running(command: str, verbose: bool) -> Iterator[Callable[..., "Report"]]:
    """Yield the function that runs a flow, prints its report, writes --json and sets the exit status.

    It returns the report of a run in which at least one clip went through.
    """
    began = time.monotonic()
    quiet(verbose=verbose)

    def run(
        flow: Callable[..., Any], *, json_file: Path | None, strict: bool = False, **parameters: Any
    ) -> "Report":
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from flows.report import Report
        from flows.run import NothingLeft
        from flows.tables import print_report
        from tasks.progress import shown_on

        if json_file and not json_file.resolve().parent.is_dir():
            raise typer.BadParameter(f"there is no folder {json_file.resolve().parent}", param_hint="--json")
        imported = time.monotonic()
        task = TextColumn("{task.description}", markup=False)
        columns = (task, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        try:
            with Progress(*columns, console=err, transient=True) as display, shown_on(display):
                report: Report = flow(**parameters)
        except NothingLeft as error:
            if json_file:
                report = Report(command, parameters["source"])
                report.take(error.run)
                write_json(json_file, report.json())
            raise
        ended = time.monotonic()
        report.seconds["imports"] = imported - began
        report.seconds["prefect_start"] = ended - imported - report.seconds["total"]
        print_report(out, report)
        if json_file:
            write_json(json_file, report.json())
        if not report.clips and command != "pretrain":
            raise typer.Exit(1)
        if strict and report.set_aside:
            raise typer.Exit(1)
        return report

    with errors(verbose=verbose):
        yield run


@contextmanager
def errors(*, verbose: bool) -> Iterator[None]:
    """Turn what a user can mend into one line and an exit status; defects keep their trace."""
    quiet(verbose=verbose)
    from flows.presets import SettingsError

    try:
        yield
    except SettingsError as error:
        say(err, "wrong setting", str(error), "red")
        raise typer.Exit(2) from None
    except (RuntimeError, ValueError, OSError, KeyError) as error:
        if isinstance(error, typer.Exit) or verbose or not understandable(error):
            raise
        say(err, "error", str(error.args[0] if isinstance(error, KeyError) else error), "red")
        raise typer.Exit(1) from None


def understandable(error: BaseException) -> bool:
    """Whether an error is one of ours, made to be read, or the operating system's."""
    from flows.run import RunError
    from storage.files import DamagedArtifact

    return isinstance(error, RunError | DamagedArtifact | OSError | KeyError)


def write_json(path: Path, value: Any) -> None:
    """Write a file of JSON, whole or not at all."""
    with whole_file(path) as beside:
        beside.write_text(
            json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False) + "\n", encoding="utf-8"
        )
