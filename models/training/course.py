"""Hyperparameters of a training: its course and its learning-rate schedule."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ATTENTION_SHARE = 0.1  # of the learning rate of a short run: at the full rate, all tokens become equal
OnStep = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class Course:
    """Hyperparameters shared by all trainings.

    Attributes:
        steps: updates of the weights.
        seed: seeds the batches and every random number drawn in a step.
        rate: maximum learning rate; None for the training's default.
        precision: precision of the forward passes, see `models.training.loop.autocast`.
        device: device of the training.
        state: state file. The run resumes from it if it exists.
        checkpoint_every: steps after which the state is written; it is also written at the end.
        on_step: called as on_step(step, terms) after every step; may raise to stop the training. `terms` holds "loss",
            its parts, "rate", and about 20 times in a run with validation "validation".
        workers: processes that prepare batches ahead of time; 0 for none.
        cool_down: whether the rate of an adaptation falls to zero (`Schedule.settling`), instead of being constant.
    """

    steps: int
    seed: int = 0
    rate: float | None = None
    precision: str = "float32"
    device: str = "cpu"
    state: Path | None = None
    checkpoint_every: int = 100
    on_step: OnStep | None = None
    workers: int = 0
    cool_down: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps: wanted at least 1, got {self.steps}")

    def at_rate(self, rate: float) -> "Course":
        """Return the course with this learning rate, unless it already has one."""
        return self if self.rate is not None else replace(self, rate=rate)

    def told(self) -> dict[str, Any]:
        """Return the fields that determine the final weights, for the recipe."""
        told = {"steps": self.steps, "seed": self.seed, "rate": self.rate, "precision": self.precision}
        return {**told, "cool_down": True} if self.cool_down else told


@dataclass(frozen=True)
class Schedule:
    """A learning-rate schedule: linear warm-up, then repeated halving.

    Attributes:
        rate: maximum learning rate.
        warmup: steps of the warm-up.
        halve_every: steps after which the rate is halved; 0 for never.
        cool_down: (first, last) step between which the rate falls to zero; None for no cool-down.
        attention: factor on the rate for a network's `attention_parts`, see `models.training.loop.optimiser_for`.
    """

    rate: float
    warmup: int = 0
    halve_every: int = 0
    cool_down: tuple[int, int] | None = None
    attention: float = 1.0

    @classmethod
    def published(cls) -> "Schedule":
        """Return OCLR's schedule for runs of several 100k steps: 5e-5 after 40k steps, halved every 80k."""
        return cls(rate=5e-5, warmup=40_000, halve_every=80_000)

    @classmethod
    def scaled(cls, steps: int, rate: float) -> "Schedule":
        """Return a schedule of the same shape for a run of `steps`, with a reduced rate for attention.

        The warm-up takes a fifteenth of the steps. There are two halvings, and a cool-down over the last sixth. Without
        the cool-down, the last few hundred batches have too much influence in a short run.
        """
        return cls(
            rate=rate,
            warmup=max(1, steps // 15),
            halve_every=max(1, math.ceil(steps / 3)),
            cool_down=(steps - steps // 6, steps),
            attention=ATTENTION_SHARE,
        )

    @classmethod
    def settling(cls, steps: int, rate: float) -> "Schedule":
        """Return a schedule for higher rates than the paper's: a warm-up, and a cool-down over the second half.

        The warm-up takes a fifteenth of the steps. Attention has a reduced rate, as in `scaled`.
        """
        return cls(
            rate=rate,
            warmup=max(1, steps // 15),
            cool_down=(steps // 2, steps),
            attention=ATTENTION_SHARE,
        )

    def at(self, step: int) -> float:
        """Return the learning rate of update number `step`, counted from 0."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        halvings = step // self.halve_every if self.halve_every else 0
        first, last = self.cool_down or (step, step)
        cool = (last - step) / (last - first) if first < step < last else 1.0
        return self.rate * warm * cool * 0.5**halvings
