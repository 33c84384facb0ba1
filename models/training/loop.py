"""The training loop of all trainings: resumes at the exact step, is safe against NaN, and reports only by a callback.

A run is a pure function of its recipe. Batches are a function of (seed, step), and so is every random number
drawn in a step (dropout). A state file therefore needs only weights, optimiser and step counter, and a run that is
killed and resumed ends with the same bits as an uninterrupted one. A longer run regularly computes the loss on
validation batches, which it does not learn from, and ends with the weights that had the smallest one.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from motion_adapt.models.networks.precision import TRAINING_PRECISIONS, autocast_dtype
from motion_adapt.models.training.batches import Batch, Batches, step_seed, stream, to_device
from motion_adapt.models.training.course import Course, Schedule
from motion_adapt.models.training.resuming import Best, History, restore, snapshot
from motion_adapt.models.training.state_file import StateFile

GRADIENT_LIMIT = 5.0
VALIDATIONS, VALIDATION_BATCHES = 20, 8
LEAST_VALIDATED = 100  # steps; a shorter run offers little choice of weights
VALIDATION_SEED = 1_000_003  # pre-trainings refuse it (models/pretraining/recipe.py)
Loss = Callable[[Any, Batch], tuple[Tensor, dict[str, Tensor]]]


def train(
    module: nn.Module,
    batches: Batches,
    loss: Loss,
    course: Course,
    *,
    schedule: Schedule,
    recipe: dict[str, Any] | None = None,
    validation: Batches | None = None,
    extra: dict[str, Any] | None = None,
    gradient_norm: float | None = None,
) -> None:
    """Train `module` in place with Adam, resuming from the course's state file if it exists.

    Args:
        module: the network.
        batches: batches(step, generator) returns the arrays of a step; must be picklable if the course has workers.
        loss: loss(module, batch) returns the total loss and its terms.
        course: hyperparameters of the run.
        schedule: learning-rate schedule.
        recipe: further values that determine the run. With steps, schedule and seed, they must be the same when a run
            is resumed.
        validation: returns batches of clips that `batches` never returns. If a run has at least `LEAST_VALIDATED`
            steps, `module` ends with the weights that had the smallest mean loss on them, otherwise with the last.
        extra: the caller's own data, plain values and tensors. It is saved with the state and restored from it.
        gradient_norm: limit on the norm of all gradients together. If None, each value is limited by itself.

    Raises:
        ValueError: the state file belongs to a run with another recipe.
        FloatingPointError: too many consecutive steps had a loss or gradient that is not finite.
    """
    steps, seed, device = course.steps, course.seed, course.device
    recipe = {"steps": steps, "schedule": vars(schedule), "seed": seed, **(recipe or {})}
    module.to(device).train()
    optimiser = optimiser_for(module, schedule)
    state = StateFile(course.state) if course.state else None
    history, best, start = History(), Best(), 0
    if state and (saved := state.read()):
        start = restore(saved, recipe, module, optimiser, history, best, state.path)
        if extra is not None:
            extra.update(saved["beside"])
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
            given = to_device(batch, device)
            terms = update(module, optimiser, loss, given, schedule.at(step), gradient_norm)
            if terms is None:
                history.skip(step)
            else:
                history.add()
            shown = {**(terms or {"loss": math.nan}), "rate": schedule.at(step)}
            if held_out and ((step + 1) % look_every == 0 or step + 1 == steps):
                shown["validation"] = mean_loss(module, loss, held_out, device)
                best.offer(shown["validation"], module)
            # before the state is written, so that the callback's records never lag behind it
            if course.on_step:
                course.on_step(step, shown)
            if state and ((step + 1) % course.checkpoint_every == 0 or step + 1 == steps):
                state.write({**snapshot(step + 1, recipe, module, optimiser, history, best), "beside": extra})
    if best.module:
        module.load_state_dict(best.module)
    module.eval()


def optimiser_for(module: nn.Module, schedule: Schedule) -> torch.optim.Adam:
    """Return Adam with two parameter groups, each with its "share" of the rate: `attention_parts`, and all others."""
    parts = tuple(f"{name}." for name in getattr(module, "attention_parts", ()))
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        groups.setdefault(schedule.attention if name.startswith(parts) else 1.0, []).append(parameter)
    return torch.optim.Adam(
        [{"params": members, "share": share} for share, members in groups.items()], lr=schedule.rate
    )


@torch.no_grad()
def mean_loss(module: nn.Module, loss: Loss, batches: Sequence[Batch], device: str | torch.device) -> float:
    """Return a module's mean loss in evaluation mode, without dropout; infinity if it is not finite."""
    module.eval()
    found = float(np.mean([loss(module, to_device(batch, device))[0].item() for batch in batches]))
    module.train()
    return found if math.isfinite(found) else math.inf


def update(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: Loss,
    batch: Batch,
    rate: float,
    gradient_norm: float | None = None,
) -> dict[str, float] | None:
    """Take one optimiser step and return the loss and its terms.

    If the loss or a gradient is not finite, the weights are left unchanged and None is returned.
    """
    optimiser.zero_grad(set_to_none=True)
    total, terms = loss(module, batch)
    if not torch.isfinite(total):
        return None
    total.backward()
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    if not torch.isfinite(torch.stack(torch._foreach_norm(gradients))).all():
        return None
    if gradient_norm is None:
        torch.nn.utils.clip_grad_value_(module.parameters(), GRADIENT_LIMIT)
    else:
        torch.nn.utils.clip_grad_norm_(module.parameters(), gradient_norm)
    for group in optimiser.param_groups:
        group["lr"] = rate * group["share"]
    optimiser.step()
    return {"loss": total.item(), **{name: term.item() for name, term in terms.items()}}


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return a context for a network's forward pass in "bfloat16" or "float32". Losses are computed outside of it.

    On a CPU with hardware support (AVX512-BF16, AMX) bfloat16 is faster; on others it is several times slower.
    """
    half = autocast_dtype(precision, TRAINING_PRECISIONS)
    return torch.autocast(device.type, dtype=half, enabled=half is not None)


def mean_of(results: Sequence[tuple[Tensor, dict[str, Tensor]]]) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the mean of several losses whose terms have the same names."""
    total = torch.stack([loss for loss, _ in results]).mean()
    return total, {name: torch.stack([terms[name] for _, terms in results]).mean() for name in results[0][1]}
