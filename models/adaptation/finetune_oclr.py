"""Fine-tune OCLR on refined masks, with other flow than at inference (paper, sections 3.4 and A.3).

Two things are not in the paper, and off by default. Excerpts can be varied: mirrored, reversed and sped up. And a share
of the steps can be on synthetic clips, so that OCLR keeps what real clips seldom show, such as several objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH
from motion_adapt.models.inputs.readable import Readable
from motion_adapt.models.networks.checkpoints import Checkpoint, build_network
from motion_adapt.models.networks.lineage import TrainedOn
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.models.pretraining.oclr_batches import EstimatedPool, Example, OclrBatches, mirrored
from motion_adapt.models.pretraining.train_oclr import AmodalLoss
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.models.training.batches import Batch
from motion_adapt.models.training.continue_training import go_on
from motion_adapt.models.training.course import Course
from motion_adapt.models.training.loop import autocast
from motion_adapt.models.training.losses import OCLR_PSEUDO_WEIGHTS, oclr_pseudo_losses

FASTER = 0.4  # at most, as the logarithm of the factor


@dataclass(frozen=True)
class OclrClip:
    """A clip to adapt to. Both arrays can be read piece by piece.

    Attributes:
        flow: f32 (T, 4, H, W), with a gap or of an estimator that inference does not use.
        masks: refined masks, bool (T, K, H, W).
    """

    flow: Readable
    masks: Readable

    def __post_init__(self) -> None:
        if self.flow.shape[0] != self.masks.shape[0] or self.flow.shape[-2:] != self.masks.shape[-2:]:
            raise ValueError(f"flow, masks: wanted equal T, H, W, got {self.flow.shape}, {self.masks.shape}")


@dataclass(frozen=True)
class OclrClipBatches:
    """Batches of `batch` random excerpts, of up to `frames` frames each, from random clips.

    Attributes:
        clips: clips to draw from.
        frames: maximum length of an excerpt.
        batch: excerpts in a step.
        vary: whether to mirror and reverse excerpts at random, and to scale their flow by 0.67 to 1.5.
        synthetic: batches of synthetic clips, or None.
        share: share of the steps that take a synthetic batch.
    """

    clips: Sequence[OclrClip]
    frames: int
    batch: int = 1
    vary: bool = False
    synthetic: OclrBatches | None = None
    share: float = 0.0

    def __call__(self, step: int, rng: np.random.Generator) -> Batch:
        """Return flow f32 (B, T, 4, H, W) and masks bool (B, T, K, H, W). The shortest clip of the batch limits T.

        A synthetic batch has amodal masks in their place, see `OclrBatches`.
        """
        if self.synthetic and rng.random() < self.share:
            return self.synthetic(step, rng)
        clips = [self.clips[i] for i in rng.integers(len(self.clips), size=self.batch)]
        length = min(self.frames, *(clip.flow.shape[0] for clip in clips))
        starts = [int(rng.integers(clip.flow.shape[0] - length + 1)) for clip in clips]
        parts = [(clip, slice(start, start + length)) for clip, start in zip(clips, starts, strict=True)]
        excerpts = [
            (np.asarray(clip.flow[part], np.float32), np.asarray(clip.masks[part], bool))
            for clip, part in parts
        ]
        if self.vary:
            excerpts = [varied(rng, *excerpt) for excerpt in excerpts]
        flow, masks = zip(*excerpts, strict=True)
        return {"flow": np.stack(flow), "masks": np.stack(masks)}


def varied(rng: np.random.Generator, flow: np.ndarray, masks: np.ndarray) -> Example:
    """Mirror and reverse an excerpt at random, and scale its flow by 0.67 to 1.5, as if it moved at another speed."""
    flow, masks = mirrored(rng, flow, masks)
    return flow * np.float32(np.exp(rng.uniform(-FASTER, FASTER))), masks


@dataclass(frozen=True)
class OclrClipLoss:
    """OCLR's loss against refined masks, or against the true ones of synthetic clips.

    Attributes:
        dice: weight of soft Dice.
        precision: see `models.training.loop.autocast`.
    """

    dice: float = 0.0
    precision: str = "float32"

    def __call__(self, module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch of `OclrClipBatches`."""
        if "amodal" in batch:
            return AmodalLoss(self.precision)(module, batch)
        with autocast(batch["flow"].device, self.precision):
            logits, order = module(batch["flow"])
        weights = {**OCLR_PSEUDO_WEIGHTS, **({"dice": self.dice} if self.dice else {})}
        total, terms, _ = oclr_pseudo_losses(logits.float(), order.float(), batch["masks"], weights=weights)
        return total, terms


def finetune_oclr(
    checkpoint: Checkpoint,
    clips: Sequence[OclrClip],
    course: Course,
    *,
    frames: int = 30,
    batch: int = 1,
    dice: float = 0.0,
    vary: bool = False,
    synthetic: float = 0.0,
    recipe: dict[str, Any] | None = None,
) -> Checkpoint:
    """Continue training a checkpoint with refined masks as pseudo-labels (section 3.4).

    Args:
        checkpoint: OCLR to start from.
        clips: clips with pseudo-labels.
        course: hyperparameters.
        frames: maximum length of a training sample.
        batch: samples in a step.
        dice: see `OclrClipLoss`.
        vary: see `OclrClipBatches`.
        synthetic: share of the steps on synthetic clips, whose flow is exact flow with imitated errors.
        recipe: identifies the clips (by their keys) in the new checkpoint and when a run is resumed.
    """
    if not clips:
        raise ValueError("clips: wanted at least one to adapt to, got none")
    module = build_network(checkpoint, course.device, expect="oclr")
    beside = synthetic_batches(module, course.seed, frames, batch) if synthetic else None
    training = {"on": TrainedOn.PSEUDO_LABELS.value, "frames": frames, "batch": batch, "dice": dice}
    training |= {"vary": True} if vary else {}
    training |= {"synthetic": synthetic} if synthetic else {}
    return go_on(
        checkpoint,
        module,
        OclrClipBatches(clips, frames, batch, vary, beside, synthetic),
        OclrClipLoss(dice, course.precision),
        course,
        {**training, **(recipe or {})},
    )


def synthetic_batches(module: OCLR, seed: int, frames: int, batch: int) -> OclrBatches:
    """Return batches of synthetic clips at the resolution of the network's UNet."""
    size = HEIGHT // module.reduction, WIDTH // module.reduction
    clips = SyntheticClips(seed=seed, frames=frames, size=size)
    return OclrBatches(
        clips, batch, "noisy", EstimatedPool(clips, 1)
    )  # noisy flow draws nothing from the pool
