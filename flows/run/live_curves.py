"""Training curves in MLflow: logged live, and completed after the training has ended."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from motion_adapt.flows.run.console import console, say
from motion_adapt.storage.tracking import Tracker
from motion_adapt.tasks.runtime.curves import read_curve

EVERY = 10.0  # seconds between two reads of a training's curve


def enter_curves(
    tracker: Tracker, run_id: str, model: str, curves: Mapping[str, Sequence[Sequence[float]]]
) -> None:
    """Log points [step, value] by term as metrics `train/<model>/<term>`; points that the run already has are kept."""
    tracker.curve(
        run_id,
        [
            (int(step), {f"train/{model}/{name}": float(value)})
            for name, curve in curves.items()
            for step, value in curve
        ],
    )


@contextmanager
def followed(tracker: Tracker, run_id: str, model: str, path: Path) -> Iterator[None]:
    """Log the curve that a training on this machine writes to `path`, for as long as the block runs.

    If MLflow stops responding, the training continues and live logging stops; the error surfaces when the full curve
    is logged at the end.
    """
    over = Event()

    def follow() -> None:
        while not over.wait(EVERY):
            try:
                enter_curves(tracker, run_id, model, read_curve(path))
            except Exception as error:
                say(console, "warning", f"live logging of {model}'s curves stopped: {error}", "yellow")
                return

    follower = Thread(target=follow, name=f"curves of {model}", daemon=True)
    follower.start()
    try:
        yield
    finally:
        over.set()
        follower.join()
