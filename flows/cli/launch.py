"""Run a flow from the command line: show progress, print the report, and turn errors into one line.

Heavy libraries are imported only when a flow starts, so that --help answers at once.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console

from motion_adapt.flows.cli.environment import quiet
from motion_adapt.flows.cli.prefect_settings import require_prefect
from motion_adapt.flows.run.console import say
from motion_adapt.storage.atomic import whole_file

if TYPE_CHECKING:
    from motion_adapt.flows.reports.run_report import Report
    from motion_adapt.tasks.settings import Settings

WIDTH = None if sys.stdout.isatty() else 160  # without a terminal, rich would wrap at 80 columns
WITHOUT_CLIPS = ("pretrain", "synthesise")  # commands that process no clips
PREFECT_LOST = "the Prefect server cannot be reached"
out, err = Console(width=WIDTH), Console(stderr=True)


@contextmanager
def running(
    command: str, verbose: bool, store: str | None = None, settings: "Callable[[], Settings] | None" = None
) -> Iterator[Callable[..., "Report"]]:
    """Yield a function that runs a flow, prints its report, writes --json and sets the exit status.

    It returns the report of a run in which at least one clip succeeded.

    Args:
        command: the command's name.
        verbose: show Prefect's log, and tracebacks.
        store: the run's artifact store.
        settings: loads the flow's settings, before anything that takes seconds; None: the flow gets none.
    """
    began = time.monotonic()

    def run(
        flow: Callable[..., Any], *, json_file: Path | None, strict: bool = False, **parameters: Any
    ) -> "Report":
        from motion_adapt.flows.reports.run_report import Report
        from motion_adapt.flows.reports.tables import print_report
        from motion_adapt.flows.run.console import progress_bars
        from motion_adapt.flows.run.run import NothingLeft

        nonlocal began
        if "tracking" in parameters and (command != "segment" or parameters["from_champion"]):
            parameters["tracking"].reach(create=command != "segment")
        if loaded:
            parameters.setdefault("settings", loaded)
        imported = time.monotonic()
        gc.freeze()  # imported objects stay until the end, which is faster if they are not searched for garbage
        gc.enable()
        try:
            with begin_server(verbose=verbose), progress_bars(err):
                report: Report = flow(**parameters)
        except NothingLeft as error:
            if json_file:
                report = Report(command, parameters["source"])
                report.take(error.run)
                write_json(json_file, report.json())
            raise
        ended = time.monotonic()
        report.seconds["imports"] = imported - began
        began = ended  # of the next run, if the command has several
        report.seconds["prefect_start"] = ended - imported - report.seconds["total"]
        print_report(out, report)
        if json_file:
            write_json(json_file, report.json())
        if not report.clips and command not in WITHOUT_CLIPS:
            raise typer.Exit(1)
        if strict and report.set_aside:
            raise typer.Exit(1)
        return report

    resume_hint = "the same command resumes where this one stopped"
    with errors(verbose=verbose, store=store, resume_hint=resume_hint):
        gc.disable()  # imports create millions of objects and no garbage
        loaded = settings() if settings else None
        require_prefect()
        from motion_adapt.flows.run.prefect_server import begin_server

        begin_server(verbose=verbose)  # it starts while the flow is imported
        yield run


@contextmanager
def errors(*, verbose: bool, store: str | None = None, resume_hint: str = "") -> Iterator[None]:
    """Print user-fixable errors as one line and exit with a status; re-raise bugs with their traceback.

    Args:
        verbose: re-raise all errors except Ctrl-C and wrong settings.
        store: the artifact store of the command.
        resume_hint: hint to print if the command was stopped and can be resumed.
    """
    for dropped in quiet(verbose=verbose, store=store):
        say(err, "warning", dropped, "yellow")
    from motion_adapt.flows.run.presets import SettingsError
    from motion_adapt.tasks.runtime.variables import BadVariable

    try:
        yield
    except KeyboardInterrupt:
        say(err, "stopped", resume_hint, "yellow")
        raise typer.Exit(130) from None
    except SettingsError as error:
        say(err, "wrong setting", str(error), "red")
        raise typer.Exit(2) from None
    except BadVariable as error:
        say(err, "wrong environment", str(error), "red")
        raise typer.Exit(2) from None
    except Exception as error:
        told = None if verbose else in_words(error)
        if told is None:
            raise
        say(err, "error", told, "red")
        if lost_server(error) == PREFECT_LOST:
            leave_at_once()
        raise typer.Exit(1) from None


def leave_at_once() -> NoReturn:
    """Exit with status 1 immediately; everything that a run keeps is on disk by now.

    A normal exit would have Prefect's client try for seven seconds to deliver each of hundreds of events to a server
    that is gone.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def in_words(error: BaseException) -> str | None:
    """Describe an error that a user can fix, in one line; None for a bug, which keeps its traceback."""
    from motion_adapt.storage.tracking import without_password

    told = _in_words(error)
    return told and without_password(told)


def _in_words(error: BaseException) -> str | None:
    from motion_adapt.flows.run.errors import RunError
    from motion_adapt.storage.artifacts.files import DamagedArtifact

    if isinstance(error, typer.Exit):
        return None
    if isinstance(error, RunError | DamagedArtifact | OSError):
        return str(error)
    server = lost_server(error)
    if server:
        return f"{server}; once it is back, the same command resumes where this one stopped"
    if type(error).__module__.partition(".")[0] in ("mlflow", "sqlalchemy"):
        from motion_adapt.flows.run.tracking import first_sentence

        return f"MLflow: {first_sentence(error)}"
    return None


def lost_server(error: BaseException | None) -> str | None:
    """Return which server is unreachable, if an error was caused by that.

    Exceptions are recognised by name, because importing MLflow takes seconds.
    """
    while error is not None:
        kind, library = type(error), type(error).__module__.partition(".")[0]
        if library == "httpx" and any(base.__name__ == "TransportError" for base in kind.__mro__):
            return PREFECT_LOST
        if library == "mlflow" and str(error).startswith("API request to"):
            return f"the MLflow server cannot be reached ({str(error).split(' failed')[0]})"
        error = error.__cause__ or error.__context__
    return None


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(
            json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False) + "\n", encoding="utf-8"
        )
