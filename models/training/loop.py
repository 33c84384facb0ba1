"""The one training loop: resumable to the exact step, safe against NaN, silent but for its callback.

A run is a pure function of its recipe. Batches are a function of (seed, step), and so is every random number
that a step draws (dropout), hence a state file needs weights, optimiser and step counter alone: a run that is
killed and continued ends with the same bits as one that was not. A longer run looks now and then at batches that
it does not learn from, and ends with the weights that did best there.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from motion_adapt.models.networks.precision import TRAINING_PRECISIONS, autocast_dtype
from motion_adapt.models.training.batches import Batch, Batches, step_seed, stream, to_device
from motion_adapt.models.training.course import Course, Schedule
from motion_adapt.models.training.state_file import StateFile

GRADIENT_LIMIT = 5.0
BAD_STEPS_IN_A_ROW = 20
HISTORY_ENTRIES = 100
VALIDATIONS, VALIDATION_BATCHES = 20, 8
LEAST_VALIDATED = 100  # steps; in a shorter run there is little to choose from
VALIDATION_SEED = 1_000_003  # no training starts from it
Loss = Callable[[Any, Batch], tuple[Tensor, dict[str, Tensor]]]

logger = logging.getLogger(__name__)


@dataclass
class History:
    """What a run has done so far: mean terms of about a hundred equal stretches of it, and steps skipped."""

    steps: int
    entries: list[dict[str, float]] = field(default_factory=list)
    stretch: list[dict[str, float]] = field(default_factory=list)
    skipped: int = 0
    skipped_in_a_row: int = 0

    def add(self, step: int, terms: dict[str, float]) -> None:
        """Count a step that updated the weights."""
        self.skipped_in_a_row = 0
        self.stretch.append(terms)
        if (step + 1) % max(1, self.steps // HISTORY_ENTRIES) == 0 or step + 1 == self.steps:
            means = {name: float(np.mean([entry[name] for entry in self.stretch])) for name in terms}
            self.entries.append({"step": float(step + 1), **means})
            self.stretch.clear()

    def skip(self, step: int) -> None:
        """Count a step whose loss or gradient was not finite; too many of them end the run."""
        self.skipped += 1
        self.skipped_in_a_row += 1
        logger.warning("step %d skipped: its loss or gradient is not finite", step)
        if self.skipped_in_a_row >= BAD_STEPS_IN_A_ROW:
            raise FloatingPointError(
                f"training: no finite loss and gradient in the {BAD_STEPS_IN_A_ROW} steps up to {step}; "
                "lower the learning rate or look at the inputs"
            )


@dataclass
class Best:
    """The weights of the least mean loss on the validation batches so far, and that loss."""

    loss: float = math.inf
    module: dict[str, Tensor] = field(default_factory=dict)

    def offer(self, loss: float, module: nn.Module) -> None:
        """Keep a copy of the module's weights if they are better."""
        if loss < self.loss:
            self.loss = loss
            self.module = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def train(
    module: nn.Module,
    batches: Batches,
    loss: Loss,
    course: Course,
    *,
    schedule: Schedule,
    recipe: dict[str, Any] | None = None,
    validation: Batches | None = None,
    beside: dict[str, Any] | None = None,
) -> History:
    """Train `module` in place with Adam, from the course's state on where that file exists.

    batches(step, generator) gives the arrays of a step (picklable where the course has workers). loss(module, batch)
    gives the total and its terms. `recipe`, with steps, schedule and seed, must be the same when a run is continued;
    ValueError where it is not. validation gives batches of clips that `batches` never gives: from `LEAST_VALIDATED`
    steps on, `module` ends with the weights of the least mean loss on them, else with the last. `beside` is what the
    caller keeps for itself, of plain values and tensors: saved with the state, and filled from it when a run is
    continued.
    """
    steps, seed, device = course.steps, course.seed, course.device
    recipe = {"steps": steps, "schedule": vars(schedule), "seed": seed, **(recipe or {})}
    module.to(device).train()
    optimiser = optimiser_for(module, schedule)
    state = StateFile(course.state) if course.state else None
    history, best, start = History(steps), Best(), 0
    if state and (saved := state.read()):
        start = restore(saved, recipe, module, optimiser, history, best, state.path)
        if beside is not None:
            beside.update(saved["beside"])
    held_out = (
        [validation(i, np.random.default_rng([VALIDATION_SEED, i])) for i in range(VALIDATION_BATCHES)]
        if validation and steps >= LEAST_VALIDATED
        else []
    )
    look_every = steps // VALIDATIONS
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        ahead = stream(batches, seed, start, steps, course.workers, pinned=bool(cuda))
        for step, batch in enumerate(ahead, start):
            torch.manual_seed(step_seed(seed, step))
            terms = update(module, optimiser, loss, to_device(batch, device), schedule.at(step))
            if terms is None:
                history.skip(step)
            else:
                history.add(step, terms)
            shown = {**(terms or {"loss": math.nan}), "rate": schedule.at(step)}
            if held_out and ((step + 1) % look_every == 0 or step + 1 == steps):
                shown["validation"] = mean_loss(module, loss, held_out, device)
                best.offer(shown["validation"], module)
            if course.on_step:  # before the state, so that what it writes down is never behind
                course.on_step(step, shown)
            if state and ((step + 1) % course.checkpoint_every == 0 or step + 1 == steps):
                state.write(
                    {**snapshot(step + 1, recipe, module, optimiser, history, best), "beside": beside}
                )
    if best.module:
        module.load_state_dict(best.module)
    module.eval()
    return history


def optimiser_for(module: nn.Module, schedule: Schedule) -> torch.optim.Adam:
    """Adam, with groups whose "share" of the rate is their own: the network's `attention_parts`, and all else."""
    parts = tuple(f"{name}." for name in getattr(module, "attention_parts", ()))
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        groups.setdefault(schedule.attention if name.startswith(parts) else 1.0, []).append(parameter)
    return torch.optim.Adam(
        [{"params": members, "share": share} for share, members in groups.items()], lr=schedule.rate
    )


@torch.no_grad()
def mean_loss(module: nn.Module, loss: Loss, batches: Sequence[Batch], device: str | torch.device) -> float:
    """The mean loss of a module as it is used, without dropout; infinite where it is not finite."""
    module.eval()
    found = float(np.mean([loss(module, to_device(batch, device))[0].item() for batch in batches]))
    module.train()
    return found if math.isfinite(found) else math.inf


def update(
    module: nn.Module, optimiser: torch.optim.Optimizer, loss: Loss, batch: Batch, rate: float
) -> dict[str, float] | None:
    """One step of the optimiser; None, and nothing changed, where loss or gradient is not finite."""
    optimiser.zero_grad(set_to_none=True)
    total, terms = loss(module, batch)
    if not torch.isfinite(total):
        return None
    total.backward()
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    if not torch.isfinite(torch.stack(torch._foreach_norm(gradients))).all():
        return None
    torch.nn.utils.clip_grad_value_(module.parameters(), GRADIENT_LIMIT)
    for group in optimiser.param_groups:
        group["lr"] = rate * group["share"]
    optimiser.step()
    return {"loss": total.item(), **{name: term.item() for name, term in terms.items()}}


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """A network's forward pass in "bfloat16", or as it is in "float32"; losses stay out of it.

    On a CPU with units for it (AVX512-BF16, AMX) bfloat16 is faster, on others several times slower.
    """
    half = autocast_dtype(precision, TRAINING_PRECISIONS)
    return torch.autocast(device.type, dtype=half, enabled=half is not None)


def mean_of(results: Sequence[tuple[Tensor, dict[str, Tensor]]]) -> tuple[Tensor, dict[str, Tensor]]:
    """The mean of several losses with equally named terms."""
    total = torch.stack([loss for loss, _ in results]).mean()
    return total, {name: torch.stack([terms[name] for _, terms in results]).mean() for name in results[0][1]}


# ----------------------------------------------------------------------------------------------------- state


def snapshot(
    step: int,
    recipe: dict[str, Any],
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    history: History,
    best: Best,
) -> dict[str, Any]:
    """Everything that a continued run needs."""
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
    """Put a saved state into module, optimiser, history and best; returns the step to go on from."""
    changed = sorted(k for k in saved["recipe"] | recipe if saved["recipe"].get(k) != recipe.get(k))
    if changed:
        before, now = ({k: r.get(k) for k in changed} for r in (saved["recipe"], recipe))
        raise ValueError(
            f"training state {path} is of another run: it has {before}, wanted {now}; delete it to start anew"
        )
    module.load_state_dict(saved["module"])
    optimiser.load_state_dict(saved["optimiser"])
    vars(history).update(saved["history"])
    vars(best).update(saved.get("best", {}))  # an earlier version's state has none
    return int(saved["step"])
