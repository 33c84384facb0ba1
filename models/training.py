"""The one training loop: resumable to the exact step, safe against NaN, silent but for its callback.

A run is a pure function of its recipe. Batches are a function of (seed, step), and so is every random number
that a step draws (dropout), hence a state file needs weights, optimiser and step counter alone: a run that is
killed and continued ends with the same bits as one that was not. A longer run looks now and then at batches that
it does not learn from, and ends with the weights that did best there.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from models.pools import START_METHOD
from models.precision import TRAINING_PRECISIONS, autocast_dtype
from models.training_state import StateFile

GRADIENT_LIMIT = 5.0
BAD_STEPS_IN_A_ROW = 20
HISTORY_ENTRIES = 100
VALIDATIONS, VALIDATION_BATCHES = 20, 8
LEAST_VALIDATED = 100  # steps; in a shorter run there is little to choose from
ATTENTION_SHARE = 0.1  # of the rate of a short run: at all of it tokens become equal, and say nothing
VALIDATION_SEED = 1_000_003  # no training starts from it

Batch = dict[str, Any]
Batches = Callable[[int, np.random.Generator], Batch]
Loss = Callable[[Any, Batch], tuple[Tensor, dict[str, Tensor]]]
OnStep = Callable[[int, dict[str, float]], None]

logger = logging.getLogger(__name__)


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


# --------------------------------------------------------------------------------------------------- batches


def step_seed(seed: int, step: int) -> int:
    """The seed of everything random inside one step."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)


class Steps(Dataset[Batch]):
    """The batches of a run, indexed by step."""

    def __init__(self, batches: Batches, seed: int) -> None:
        self.batches, self.seed = batches, seed

    def __getitem__(self, step: int) -> Batch:
        return self.batches(step, np.random.default_rng([self.seed, step]))


def stream(
    batches: Batches, seed: int, start: int, stop: int, workers: int, *, pinned: bool = False
) -> Iterator[Batch]:
    """Batches of the steps from start to stop, in order, made ahead by worker processes.

    pinned: in memory from which a GPU takes them while the CPU goes on.
    """
    ahead: dict[str, Any] = {}
    if workers:
        ahead = {"prefetch_factor": 4, "multiprocessing_context": START_METHOD, "worker_init_fn": alone}
    sampler: Any = range(start, stop)
    yield from DataLoader(
        Steps(batches, seed),
        batch_size=None,
        sampler=sampler,
        num_workers=workers,
        pin_memory=pinned,
        **ahead,
    )


def alone(worker: int) -> None:
    """One thread for each worker process: there are as many of them as cores are wanted."""
    cv2.setNumThreads(0)


def to_device(batch: Any, device: str | torch.device) -> Any:
    """Arrays and tensors in a batch, at any depth of lists and dicts, as tensors on the device."""
    if isinstance(batch, dict):
        return {name: to_device(value, device) for name, value in batch.items()}
    if isinstance(batch, list):
        return [to_device(value, device) for value in batch]
    if isinstance(batch, np.ndarray | Tensor):
        return torch.as_tensor(batch).to(device, non_blocking=True)
    return batch


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
