"""Hyperparameters of a training: its course and its learning-rate schedule."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ATTENTION_SHARE = 0.1  # of the rate of a short run: at all of it tokens become equal, and say nothing
OnStep = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a training runs, whatever it learns.

    steps: updates of the weights. seed: of the batches, and of all that a step draws. rate: learning rate at its
    highest; None: the training's own. precision: of the forward passes, see `autocast`. state: the file from which
    the run goes on where it exists, written every `checkpoint_every` steps and at the end. on_step(step, terms) is
    called after every step and may raise in order to stop; terms: "loss", its parts, "rate", and at every twentieth
    of a validated run "validation". workers: processes that make batches ahead; 0: none.
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

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps: wanted at least 1, got {self.steps}")

    def at_rate(self, rate: float) -> "Course":
        """The same course, at this learning rate where it names none."""
        return self if self.rate is not None else replace(self, rate=rate)

    def told(self) -> dict[str, Any]:
        """What a recipe says of it: what the weights at its end depend on."""
        return {"steps": self.steps, "seed": self.seed, "rate": self.rate, "precision": self.precision}


@dataclass(frozen=True)
class Schedule:
    """Learning rate: linear warm-up in `warmup` steps, then halved every `halve_every` (0: never).

    cool_down: (first, last) step between which it falls to nothing; none: it stays. attention: the share of it that
    the `attention_parts` of a network get, see `optimiser_for`.
    """

    rate: float
    warmup: int = 0
    halve_every: int = 0
    cool_down: tuple[int, int] | None = None
    attention: float = 1.0

    @classmethod
    def published(cls) -> "Schedule":
        """OCLR's: 5e-5 after 40k steps, halved every 80k, for runs of several 100k steps."""
        return cls(rate=5e-5, warmup=40_000, halve_every=80_000)

    @classmethod
    def scaled(cls, steps: int, rate: float) -> "Schedule":
        """The same shape for a run of `steps`: a fifteenth of them to warm up, two halvings, and a cool-down
        over the last sixth, without which the last few hundred batches weigh too much in a short run. At so high a
        rate attention gets a part of it.
        """
        return cls(
            rate=rate,
            warmup=max(1, steps // 15),
            halve_every=max(1, math.ceil(steps / 3)),
            cool_down=(steps - steps // 6, steps),
            attention=ATTENTION_SHARE,
        )

    def at(self, step: int) -> float:
        """Rate of update number `step`, counted from 0."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        halvings = step // self.halve_every if self.halve_every else 0
        first, last = self.cool_down or (step, step)
        cool = (last - step) / (last - first) if first < step < last else 1.0
        return self.rate * warm * cool * 0.5**halvings
