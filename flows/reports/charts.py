"""Charts as plain geometry, which a template draws as SVG, so that names of clips never enter markup unescaped.

Everything is in the units of a view box; y grows downwards. A plotting library would do less here: the template gives
lines the page's colours, light and dark, and every mark a text that browsers show under the pointer.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LEFT, RIGHT, TOP, BOTTOM = 44, 16, 14, 30


@dataclass(frozen=True)
class Mark:
    """A point with its label and its value as text."""

    x: float
    y: float
    label: str
    value: str


@dataclass(frozen=True)
class Line:
    """A line through marks; `path` is the `d` of an SVG path."""

    name: str
    marks: tuple[Mark, ...]
    path: str


@dataclass(frozen=True)
class Chart:
    """A chart in view box units; ticks are (position, text)."""

    width: int
    height: int
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...] = ()
    faint: tuple[Line, ...] = field(default=())
    left: int = LEFT
    right: int = RIGHT
    top: int = TOP
    bottom: int = BOTTOM


def line_chart(
    series: Mapping[str, Sequence[float | None]],
    steps: Sequence[str],
    *,
    faint: Mapping[str, Sequence[float | None]] | None = None,
    width: int = 640,
    height: int = 260,
    percent: bool = False,
) -> Chart:
    """Draw lines over named steps; None is skipped and bridged by the line. `faint`: lines behind the others."""
    behind = faint or {}
    values = [v for line in (*series.values(), *behind.values()) for v in line if v is not None]
    low, high, ticks = _scale(values)
    inset = width / (4 + 4 * len(steps))  # room for the names under the first and the last step
    x = [_place(i, 0, max(len(steps) - 1, 1), LEFT + inset, width - RIGHT - inset) for i in range(len(steps))]
    if len(steps) == 1:
        x = [(LEFT + width - RIGHT) / 2]

    def line(name: str, points: Sequence[float | None]) -> Line:
        marks = tuple(
            Mark(x[i], _place(v, low, high, height - BOTTOM, TOP), f"{name}, {steps[i]}", shown(v, percent))
            for i, v in enumerate(points)
            if v is not None
        )
        return Line(name, marks, _path(marks))

    return Chart(
        width,
        height,
        tuple(zip(x, steps, strict=True)),
        tuple((_place(v, low, high, height - BOTTOM, TOP), _tick(v, percent)) for v in ticks),
        tuple(line(name, points) for name, points in series.items()),
        tuple(line(name, points) for name, points in behind.items()),
    )


def curve_chart(points: Sequence[tuple[float, float]], *, width: int = 480, height: int = 200) -> Chart:
    """Draw one curve over training steps."""
    x_low, x_high = points[0][0], max(points[-1][0], points[0][0] + 1)
    low, high, ticks = _scale([value for _, value in points], about=3)
    marks = tuple(
        Mark(
            _place(step, x_low, x_high, LEFT, width - RIGHT),
            _place(value, low, high, height - BOTTOM, TOP),
            f"step {step:g}",
            f"{value:.4g}",
        )
        for step, value in points
    )
    x_ticks = ((float(LEFT), f"{x_low:g}"), (float(width - RIGHT), f"{x_high:g}"))
    y_ticks = tuple((_place(v, low, high, height - BOTTOM, TOP), f"{v:g}") for v in ticks)
    return Chart(width, height, x_ticks, y_ticks, (Line("", marks, _path(marks)),))


def scatter(
    points: Sequence[tuple[str, float, float]], *, width: int = 480, height: int = 340, percent_y: bool = True
) -> Chart:
    """Draw points (label, x, y) as marks without a line."""
    x_low, x_high, x_ticks = _scale([x for _, x, _ in points])
    low, high, ticks = _scale([y for _, _, y in points])
    marks = tuple(
        Mark(
            _place(x, x_low, x_high, LEFT, width - RIGHT),
            _place(y, low, high, height - BOTTOM, TOP),
            label,
            f"{x:.3f}, {shown(y, percent_y)}",
        )
        for label, x, y in points
    )
    return Chart(
        width,
        height,
        tuple((_place(v, x_low, x_high, LEFT, width - RIGHT), _tick(v, False)) for v in x_ticks),
        tuple((_place(v, low, high, height - BOTTOM, TOP), _tick(v, percent_y)) for v in ticks),
        (Line("", marks, ""),),
    )


def shown(value: float, percent: bool) -> str:
    """Format a value."""
    return f"{100 * value:.1f}" if percent else f"{value:.3f}"


def _scale(values: Sequence[float], about: int = 5) -> tuple[float, float, list[float]]:
    """Return the ends of an axis around the values, and round ticks between them."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    least = low
    if high - low < 1e-9:
        low, high = low - 0.05 * max(abs(low), 1), high + 0.05 * max(abs(high), 1)
    margin = 0.08 * (high - low)
    low, high = low - margin, high + margin
    if least >= 0:  # the axis goes below zero only if a value does
        low = max(low, 0.0)
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    ticks = [round(step * i, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]
    return low, high, ticks


def _place(value: float, low: float, high: float, start: float, end: float) -> float:
    return round(start + (value - low) / (high - low) * (end - start), 1)


def _tick(value: float, percent: bool) -> str:
    return f"{100 * value:g}" if percent else f"{value:g}"


def _path(marks: Sequence[Mark]) -> str:
    return " ".join(f"{'L' if i else 'M'}{mark.x} {mark.y}" for i, mark in enumerate(marks))
