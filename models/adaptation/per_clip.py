"""Adaptation to a single clip: the corrector goes on with that clip's own pseudo-labels, for that clip only (A.3).

One clip is little to learn from, so some of its exemplar frames are held out and never learnt from: the loss on them is
a criterion without labels of when to stop. The best corrector on the way is kept, and that is the one it started from
where nothing was any better.
"""

import contextlib
import copy
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from motion_adapt.models.adaptation.adapt_corrector import (
    CorrectorClip,
    CorrectorClipBatches,
    CorrectorClipLoss,
    pseudo_label_loss,
)
from motion_adapt.models.networks.checkpoints import Checkpoint, build_network
from motion_adapt.models.training.batches import to_device
from motion_adapt.models.training.continue_training import ADAPTATION_RATE, adapted, constant_schedule
from motion_adapt.models.training.course import Course
from motion_adapt.models.training.loop import train

HELD_OUT = 4  # every fourth exemplar frame is held out; a clip with fewer exemplar frames has none to spare


class _Enough(Exception):
    """No held-out improvement for long enough."""


@dataclass(frozen=True)
class PartOfClip(CorrectorClip):
    """A clip of which only some frames are believed: those learnt from, or those held out."""

    believed: NDArray[np.bool_] = field(kw_only=True)  # (T,)

    def __post_init__(self) -> None:
        if not self.supervised().any():
            raise ValueError("clip: no believed frame is an exemplar")

    def supervised(self) -> NDArray[np.bool_]:
        """Where `corrected` counts, (T, K)."""
        return super().supervised() & self.believed[:, None]


def held_out_frames(exemplars: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which frames of a clip are held out, bool (T,): every fourth exemplar frame, none of fewer than four.

    exemplars: bool (T, K), those with a mask. An object keeps at least one of its exemplars to learn from where it can.
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
    limit: int = 104,
    target: int = 100,
    reconstruction: bool = True,
    recipe: dict[str, Any] | None = None,
) -> Checkpoint:
    """Go on from a checkpoint with one clip's pseudo-labels, for up to the course's steps (A.3: about 200).

    Every `check_every` steps the loss on the held-out exemplar frames is taken, and the state saved; training ends
    when the loss has not fallen for `patience` checks, and the checkpoint is the best of all, its start included. Its
    training says `kept_step`, the steps behind it, and `held_out`, the finite losses as [step, loss]. A clip without
    frames to hold out takes all its steps. The other arguments are those of `adapt_corrector`.
    """
    if check_every < 1 or patience < 1:
        raise ValueError(f"wanted check_every and patience of at least 1, got {check_every} and {patience}")
    held = held_out_frames(clip.shown)
    arrays = {name: getattr(clip, name) for name in CorrectorClip.__dataclass_fields__}
    taught = PartOfClip(**arrays, believed=~held)
    loss = pseudo_label_loss(reconstruction, course.precision)
    module = build_network(checkpoint, course.device, expect="corrector")
    # the features are a help in learning, and masks what is wanted: the watch looks at these alone
    watched = pseudo_label_loss(reconstruction=False, precision=course.precision)
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
    training = {"on": "pseudo-labels of one clip", **course.told(), "check_every": check_every}
    training |= {"patience": patience, "batch": batch, "window": window, "limit": limit, "target": target}
    training |= {"reconstruction": reconstruction, **(recipe or {})}
    with contextlib.suppress(_Enough):
        train(
            module,
            CorrectorClipBatches([taught], window, limit, target, batch),
            loss,
            replace(course, checkpoint_every=check_every, on_step=after),
            schedule=constant_schedule(course),
            recipe=training,
            beside=vars(watch.found),
        )
    found = watch.found
    if found.best is not None:
        module.load_state_dict(found.best)
    kept = found.kept if found.best is not None else course.steps
    told = [[step, loss] for step, loss in found.losses if math.isfinite(loss)]
    return adapted(checkpoint, module.eval(), training | {"kept_step": kept, "held_out": told})


@dataclass
class _Found:
    """What the held-out frames have told so far; saved with the training's state."""

    losses: list[list[float]] = field(default_factory=list)  # [step, loss], infinite where it is not finite
    best: dict[str, torch.Tensor] | None = None  # the weights of the least of them
    kept: int = 0  # the steps behind those


class _Watch:
    """Looks at the held-out frames now and then, and tells when it is enough."""

    def __init__(self, module: nn.Module, loss: CorrectorClipLoss, device: str, patience: int) -> None:
        self.module, self.loss, self.device, self.patience = module, loss, device, patience
        self.episodes: list[dict[str, Any]] = []
        self.found = _Found()

    def check(self, step: int) -> None:
        """Take the held-out loss. Raises _Enough where it has not fallen for `patience` checks."""
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
