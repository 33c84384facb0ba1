"""Curves of trainings in MLflow: while they run, and whole once they have ended."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from motion_adapt.flows.run.console import console, say
from motion_adapt.storage.tracking import Tracker
from motion_adapt.tasks.runtime.curves import read_curve

EVERY = 10.0  # seconds between two looks at a training's curve


def enter_curves(
    tracker: Tracker, run_id: str, model: str, curves: Mapping[str, Sequence[Sequence[float]]]
) -> None:
    """Points [step, value] by term, as metrics `train/<model>/<term>`; those that the run has stay as they are."""
    for name, curve in curves.items():
        points = [(int(step), {f"train/{model}/{name}": float(value)}) for step, value in curve]
        tracker.curve(run_id, points)


@contextmanager
def followed(tracker: Tracker, run_id: str, model: str, path: Path) -> Iterator[None]:
    """For the time of a block, enter what a training on this machine writes down of its curve.

    An MLflow that does not answer hinders no training: nothing more is entered, and whoever enters the whole curve at
    the end meets the error.
    """
    over = Event()

    def follow() -> None:
        while not over.wait(EVERY):
            try:
                enter_curves(tracker, run_id, model, read_curve(path))
            except Exception as error:
                say(console, "warning", f"the curves of {model} are not entered live: {error}", "yellow")
                return

    follower = Thread(target=follow, name=f"curves of {model}", daemon=True)
    follower.start()
    try:
        yield
    finally:
        over.set()
        follower.join()
