"""Curves of a training: about two hundred points, kept through a kill and published with the checkpoint."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from models.checkpoints import Checkpoint
from models.training import Course
from models.training_state import StateFile
from storage.writer import ArtifactWriter
from tasks.progress import track
from tasks.stage import Place
from tasks.weights import put_checkpoint

POINTS = 200


class Curve:
    """Points of each term of a loss, written down line by line as they come.

    A step that a continued run repeats gives the same numbers, so the later line of a step counts.
    """

    def __init__(self, path: Path, steps: int) -> None:
        self.path, self.every = path, max(1, steps // POINTS)
        self.steps = steps
        if path.exists() and path.read_bytes()[-1:] not in (b"", b"\n"):
            self._write("\n")  # ends a line that was not written to its end, lest the next be lost with it

    def add(self, step: int, terms: dict[str, float]) -> None:
        """Note a step, counted from 0, if it is a point of the curve, or one at which the run was validated."""
        if (step + 1) % self.every and step + 1 != self.steps and "validation" not in terms:
            return
        self._write(json.dumps([step + 1, terms]) + "\n")

    def _write(self, text: str) -> None:
        with self.path.open("a", encoding="ascii") as file:
            file.write(text)


def curve_file(state: Path) -> Path:
    """Where the training that keeps its state in a file writes its curve."""
    return state.with_suffix(".curve")


def read_curve(path: Path) -> dict[str, list[list[float]]]:
    """[step, value] pairs by term, as written so far.

    A line that is not whole is passed over, and so is a value that is not finite, which no summary can hold.
    """
    by_step: dict[int, dict[str, float]] = {}
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    for line in lines:
        try:
            step, terms = json.loads(line)
        except json.JSONDecodeError:
            continue
        by_step[step] = {name: value for name, value in terms.items() if math.isfinite(value)}
    curves: dict[str, list[list[float]]] = {}
    for step, terms in sorted(by_step.items()):
        for name, value in terms.items():
            curves.setdefault(name, []).append([step, value])
    return curves


@contextmanager
def training(
    place: Place, out: ArtifactWriter, course: Course
) -> Iterator[tuple[Course, Callable[[Checkpoint], None]]]:
    """A course at this place, with its state file and callback; and what publishes the checkpoint with its curves.

    The stage deletes the state once the checkpoint is published (tasks/stage.py); until then a training that was
    killed, or could not be published, goes on from it.
    """
    state = place.training_state(out.recipe)
    for path, what in StateFile(state).faults().items():
        out.made.setdefault("warnings", []).append(
            f"training state {path.name} was damaged ({what}) and not used"
        )
    curve = Curve(curve_file(state), course.steps)
    with track(course.steps, place.label) as advance:
        shown = 0

        def on_step(step: int, terms: dict[str, float]) -> None:
            nonlocal shown
            curve.add(step, terms)
            advance(step + 1 - shown)
            shown = step + 1

        def publish(checkpoint: Checkpoint) -> None:
            put_checkpoint(out, checkpoint, state.with_suffix(".safetensors"))
            out.summary["curves"] = read_curve(curve.path)

        yield replace(course, device=place.device, state=state, on_step=on_step), publish
