"""Fine-tune OCLR on refined masks, with flow of other gaps than at inference (paper, sections 3.4 and A.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from motion_adapt.models.inputs.readable import Readable
from motion_adapt.models.networks.checkpoints import Checkpoint, build_network
from motion_adapt.models.networks.lineage import TrainedOn
from motion_adapt.models.training.batches import Batch
from motion_adapt.models.training.continue_training import go_on
from motion_adapt.models.training.course import Course
from motion_adapt.models.training.loop import autocast
from motion_adapt.models.training.losses import OCLR_PSEUDO_WEIGHTS, oclr_pseudo_losses


@dataclass(frozen=True)
class OclrClip:
    """A clip to adapt to. Both arrays can be read piece by piece.

    Attributes:
        flow: f32 (T, 4, H, W), with a gap that inference does not use.
        masks: refined masks, bool (T, K, H, W).
    """

    flow: Readable
    masks: Readable

    def __post_init__(self) -> None:
        if self.flow.shape[0] != self.masks.shape[0] or self.flow.shape[-2:] != self.masks.shape[-2:]:
            raise ValueError(f"flow, masks: wanted equal T, H, W, got {self.flow.shape}, {self.masks.shape}")


@dataclass(frozen=True)
class OclrClipBatches:
    """Batches of `batch` random excerpts, of up to `frames` frames each, from random clips."""

    clips: Sequence[OclrClip]
    frames: int
    batch: int = 1

    def __call__(self, step: int, rng: np.random.Generator) -> Batch:
        """Return flow f32 (B, T, 4, H, W) and masks bool (B, T, K, H, W). The shortest clip of the batch limits T."""
        clips = [self.clips[i] for i in rng.integers(len(self.clips), size=self.batch)]
        length = min(self.frames, *(clip.flow.shape[0] for clip in clips))
        starts = [int(rng.integers(clip.flow.shape[0] - length + 1)) for clip in clips]
        parts = [(clip, slice(start, start + length)) for clip, start in zip(clips, starts, strict=True)]
        return {
            "flow": np.stack([np.asarray(clip.flow[part], np.float32) for clip, part in parts]),
            "masks": np.stack([np.asarray(clip.masks[part], bool) for clip, part in parts]),
        }


@dataclass(frozen=True)
class OclrClipLoss:
    """OCLR's loss against refined masks.

    Attributes:
        dice: weight of soft Dice.
        precision: see `models.training.loop.autocast`.
    """

    dice: float = 0.0
    precision: str = "float32"

    def __call__(self, module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch of `OclrClipBatches`."""
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
        recipe: identifies the clips (by their keys) in the new checkpoint and when a run is resumed.
    """
    if not clips:
        raise ValueError("clips: wanted at least one to adapt to, got none")
    return go_on(
        checkpoint,
        build_network(checkpoint, course.device, expect="oclr"),
        OclrClipBatches(clips, frames, batch),
        OclrClipLoss(dice, course.precision),
        course,
        {
            "on": TrainedOn.PSEUDO_LABELS.value,
            "frames": frames,
            "batch": batch,
            "dice": dice,
            **(recipe or {}),
        },
    )
