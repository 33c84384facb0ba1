"""The parts of a training apart from its weights, and the state from which it resumes."""

import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

BAD_STEPS_IN_A_ROW = 20

logger = logging.getLogger(__name__)


@dataclass
class History:
    """What a resumed run must know of its last steps: how many in a row, up to now, were skipped."""

    skipped_in_a_row: int = 0

    def go_on_from(self, saved: dict[str, Any]) -> None:
        """Restore the history of an interrupted run. Those of earlier versions hold more."""
        self.skipped_in_a_row = saved["skipped_in_a_row"]

    def add(self) -> None:
        """Record a step that updated the weights."""
        self.skipped_in_a_row = 0

    def skip(self, step: int) -> None:
        """Record a step whose loss or gradient was not finite.

        Raises:
            FloatingPointError: too many consecutive steps were skipped.
        """
        self.skipped_in_a_row += 1
        logger.warning("step %d skipped: its loss or gradient is not finite", step)
        if self.skipped_in_a_row >= BAD_STEPS_IN_A_ROW:
            raise FloatingPointError(
                f"training: no finite loss and gradient in the {BAD_STEPS_IN_A_ROW} steps up to {step}; "
                "lower the learning rate or look at the inputs"
            )


@dataclass
class Best:
    """The weights with the smallest mean loss on the validation batches so far, and that loss."""

    loss: float = math.inf
    module: dict[str, Tensor] = field(default_factory=dict)

    def go_on_from(self, saved: dict[str, Any]) -> None:
        """Restore the best weights of an interrupted run."""
        self.loss, self.module = saved["loss"], saved["module"]

    def offer(self, loss: float, module: nn.Module) -> None:
        """Keep a copy of the module's weights if their loss is smaller."""
        if loss < self.loss:
            self.loss = loss
            self.module = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def snapshot(
    step: int,
    recipe: dict[str, Any],
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    history: History,
    best: Best,
) -> dict[str, Any]:
    """Return everything that a resumed run needs."""
    return {
        "step": step,
        "recipe": recipe,
        "module": module.state_dict(),
        "optimiser": optimiser.state_dict(),
        "history": vars(history),
        "best": vars(best),
    }


def restore(
    saved: dict[str, Any],
    recipe: dict[str, Any],
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    history: History,
    best: Best,
    path: Path,
) -> int:
    """Load a saved state into module, optimiser, history and best. Returns the step to resume from.

    Raises:
        ValueError: the state belongs to a run with another recipe.
    """
    changed = sorted(k for k in saved["recipe"] | recipe if saved["recipe"].get(k) != recipe.get(k))
    if changed:
        before, now = ({k: r.get(k) for k in changed} for r in (saved["recipe"], recipe))
        raise ValueError(
            f"training state {path} belongs to another run: it has {before}, wanted {now}; delete it to start again"
        )
    module.load_state_dict(saved["module"])
    optimiser.load_state_dict(saved["optimiser"])
    history.go_on_from(saved["history"])
    if "best" in saved:  # absent in the states of earlier versions
        best.go_on_from(saved["best"])
    return int(saved["step"])
