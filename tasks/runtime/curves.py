"""Training curves: about two hundred points, kept through a kill and published with the checkpoint."""

import json
import math
from pathlib import Path

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
