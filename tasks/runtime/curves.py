"""Training curves: about two hundred points, which survive a kill and are published with the checkpoint."""

import json
import math
from pathlib import Path

POINTS = 200


class Curve:
    """Appends the terms of the loss to a file, one line per recorded step.

    A resumed training repeats some steps and gets the same numbers, so the later line of a step counts.
    """

    def __init__(self, path: Path, steps: int) -> None:
        self.path, self.every = path, max(1, steps // POINTS)
        self.steps = steps
        if path.exists() and path.read_bytes()[-1:] not in (b"", b"\n"):
            self._write("\n")  # ends an incomplete line, so that the next one is not lost with it

    def add(self, step: int, terms: dict[str, float]) -> None:
        """Record a step, counted from 0, if it is a point of the curve or has validation terms."""
        if (step + 1) % self.every and step + 1 != self.steps and "validation" not in terms:
            return
        self._write(json.dumps([step + 1, terms]) + "\n")

    def _write(self, text: str) -> None:
        with self.path.open("a", encoding="ascii") as file:
            file.write(text)


def curve_file(state: Path) -> Path:
    """Return the path of a training's curve, given that of its state."""
    return state.with_suffix(".curve")


def read_curve(path: Path) -> dict[str, list[list[float]]]:
    """Return [step, value] pairs by term, as written so far.

    Incomplete lines are skipped, and so are values that are not finite, because a summary cannot contain them.
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
