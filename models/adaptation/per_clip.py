"""Adapt the corrector to a single clip: train it further on that clip's pseudo-labels, for that clip only (A.3).

A single clip provides little training data. Some of its exemplar frames are therefore held out: the loss on them
decides, without labels, when to stop. The corrector with the smallest held-out loss is kept. That is the initial one if
none was better.
"""

import contextlib
import copy
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from motion_adapt.models.adaptation.adapt_corrector import (
    CorrectorClip,
    CorrectorClipBatches,
    CorrectorClipLoss,
    pseudo_label_loss,
)
from motion_adapt.models.inference.planning import PART_LENGTH, PART_LIMIT
from motion_adapt.models.networks.checkpoints import Checkpoint, Corrector, build_network
from motion_adapt.models.networks.lineage import TrainedOn
from motion_adapt.models.training.batches import to_device
from motion_adapt.models.training.continue_training import ADAPTATION_RATE, adapted, constant_schedule
from motion_adapt.models.training.course import Course
from motion_adapt.models.training.loop import train

HELD_OUT = 4  # every fourth exemplar frame is held out; with fewer exemplar frames, none is


class _Enough(Exception):
    """The held-out loss has not improved for long enough."""


@dataclass(frozen=True)
class PartOfClip(CorrectorClip):
    """A clip with only some of its frames supervised: those to learn from, or those held out."""

    believed: NDArray[np.bool_] = field(kw_only=True)  # (T,)

    def __post_init__(self) -> None:
        if not self.supervised().any():
            raise ValueError("clip: none of the supervised frames is an exemplar")

    def supervised(self) -> NDArray[np.bool_]:
        """Return the frames and objects, bool (T, K), whose `corrected` masks are used."""
        return super().supervised() & self.believed[:, None]


def held_out_frames(exemplars: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Choose the held-out frames of a clip, bool (T,): every fourth exemplar frame, none if there are fewer than four.

    A frame is not held out if an object would be left without an exemplar to learn from.

    exemplars: bool (T, K), those with a mask.
    """
    frames = np.flatnonzero(exemplars.any(1))
    held = np.zeros(len(exemplars), bool)
    for frame in frames[HELD_OUT // 2 :: HELD_OUT] if len(frames) >= HELD_OUT else ():
        left = exemplars & ~held[:, None]
        left[frame] = False
        if left[:, exemplars.any(0)].any(0).all():
            held[frame] = True
    return held


def adapt_to_clip(
    checkpoint: Checkpoint,
    clip: CorrectorClip,
    course: Course,
    *,
    check_every: int = 20,
    patience: int = 3,
    batch: int = 1,
    window: int = 7,
    limit: int = PART_LIMIT,
    target: int = PART_LENGTH,
    reconstruction: bool = True,
    dice: float = 0.0,
    recipe: dict[str, Any] | None = None,
) -> Checkpoint:
    """Continue training a checkpoint on one clip's pseudo-labels, for up to the course's steps (A.3: about 200).

    The result is the checkpoint with the smallest held-out loss, the initial one included. Its recipe contains
    `kept_step`, the number of steps that it was trained for, and `held_out`, the finite losses as [step, loss]. A clip
    without held-out frames is trained for all steps.

    Args:
        checkpoint: corrector to start from.
        clip: clip with pseudo-labels.
        course: hyperparameters.
        check_every: steps after which the held-out loss is computed and the state is saved.
        patience: training ends if the loss has not fallen for this number of checks.
        batch, window, limit, target, reconstruction, dice, recipe: see `adapt_corrector`.
    """
    if check_every < 1 or patience < 1:
        raise ValueError(f"wanted check_every and patience of at least 1, got {check_every} and {patience}")
    held = held_out_frames(clip.shown)
    arrays = {name: getattr(clip, name) for name in CorrectorClip.__dataclass_fields__}
    taught = PartOfClip(**arrays, believed=~held)
    loss = pseudo_label_loss(reconstruction, dice, course.precision)
    module = build_network(checkpoint, course.device, expect="corrector")
    # reconstructing features only helps training; the masks are the goal, so the watch checks only their loss
    watched = pseudo_label_loss(reconstruction=False, dice=dice, precision=course.precision)
    watch = _Watch(module, watched, course.device, patience)
    if held.any():
        spared = CorrectorClipBatches([PartOfClip(**arrays, believed=held)], window, limit, target)
        draws = (np.random.default_rng([course.seed, i]) for i in range(int(held.sum())))
        watch.episodes = [spared.episode(rng) for rng in draws]
        watch.check(0)

    def after(step: int, terms: dict[str, float]) -> None:
        if course.on_step:
            course.on_step(step, terms)
        if watch.episodes and ((step + 1) % check_every == 0 or step + 1 == course.steps):
            watch.check(step + 1)

    course = course.at_rate(ADAPTATION_RATE)
    training = {"on": TrainedOn.PSEUDO_LABELS_OF_ONE_CLIP.value, **course.told(), "check_every": check_every}
    training |= {"patience": patience, "batch": batch, "window": window, "limit": limit, "target": target}
    training |= {"reconstruction": reconstruction, "dice": dice, **(recipe or {})}
    with contextlib.suppress(_Enough):
        train(
            module,
            CorrectorClipBatches([taught], window, limit, target, batch),
            loss,
            replace(course, checkpoint_every=check_every, on_step=after),
            schedule=constant_schedule(course),
            recipe=training,
            extra=vars(watch.found),
        )
    found = watch.found
    if found.best is not None:
        module.load_state_dict(found.best)
    kept = found.kept if found.best is not None else course.steps
    told = [[step, loss] for step, loss in found.losses if math.isfinite(loss)]
    return adapted(checkpoint, module.eval(), training | {"kept_step": kept, "held_out": told})


@dataclass
class _Found:
    """The held-out losses so far, and the best weights; saved with the training's state."""

    # [step, loss]; a loss that is not finite becomes infinity
    losses: list[list[float]] = field(default_factory=list)
    best: dict[str, torch.Tensor] | None = None  # the weights with the smallest loss
    kept: int = 0  # the number of steps after which they were reached


class _Watch:
    """Computes the held-out loss at intervals, and decides when to stop."""

    def __init__(self, module: Corrector, loss: CorrectorClipLoss, device: str, patience: int) -> None:
        self.module, self.loss, self.device, self.patience = module, loss, device, patience
        self.episodes: list[dict[str, Any]] = []
        self.found = _Found()

    def check(self, step: int) -> None:
        """Compute the held-out loss. Raises _Enough if it has not fallen for `patience` checks."""
        was_training = self.module.training
        self.module.eval()
        with torch.no_grad():
            losses = [
                self.loss.of_episode(self.module, to_device(one, self.device))[0] for one in self.episodes
            ]
        self.module.train(was_training)
        mean = float(torch.stack(losses).mean())
        value = mean if math.isfinite(mean) else math.inf
        found = self.found
        before = min((loss for _, loss in found.losses), default=math.inf)
        found.losses.append([step, value])
        if value < before or found.best is None:
            found.best, found.kept = copy.deepcopy(self.module.state_dict()), step
        elif len(found.losses) - 1 - int(np.argmin([loss for _, loss in found.losses])) >= self.patience:
            raise _Enough
