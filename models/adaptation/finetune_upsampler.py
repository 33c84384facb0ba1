"""Fine-tune the corrector's upsampler with labels (paper, Table 16): the only training that sees annotations.

Only the decoder, which turns attention maps into full-size masks, learns from the true masks of annotated frames. The
object queries, their attention and the CNN encoder stay unchanged. The resulting corrector is not label-free.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motion_adapt.models.adaptation.adapt_corrector import (
    CorrectorClip,
    CorrectorClipBatches,
    CorrectorClipLoss,
)
from motion_adapt.models.inference.planning import PART_LENGTH, PART_LIMIT
from motion_adapt.models.inputs.readable import Readable
from motion_adapt.models.networks.checkpoints import Checkpoint, build_network
from motion_adapt.models.networks.lineage import TrainedOn
from motion_adapt.models.scoring.pairing import best_pairs
from motion_adapt.models.scoring.ranking import mask_ious
from motion_adapt.models.training.continue_training import go_on
from motion_adapt.models.training.course import Course

WEIGHTS: Mapping[str, float] = {"bce": 1.0, "boundary": 0.2}


@dataclass(frozen=True)
class LabelledClip(CorrectorClip):
    """A clip whose `corrected` holds true masks if `annotated`, bool (T, K), is True; see `true_masks`."""

    annotated: NDArray[np.bool_]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.annotated.any():
            raise ValueError("clip: no mask has an annotation, so there is nothing to learn; leave it out")

    def supervised(self) -> NDArray[np.bool_]:
        """Return the frames and objects, bool (T, K), whose `corrected` masks are true."""
        return self.annotated


def true_masks(
    proposals: Readable, truth: Mapping[int, NDArray[np.bool_]]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Assign each annotated object of a clip to the channel of the proposal that fits it best.

    The assignment maximises the mean IoU over the annotated frames; two empty masks count as 1. If there are more
    objects than channels, some objects are left out.

    Args:
        proposals: bool (T, K, H, W).
        truth: bool (N, H, W) by frame, with the same N in all frames.

    Returns:
        Masks, bool (T, K, H, W), and whether they are known, bool (T, K): in annotated frames, in channels with an
        object.
    """
    T, K, H, W = proposals.shape
    masks, known = np.zeros((T, K, H, W), np.bool_), np.zeros((T, K), np.bool_)
    if not truth:
        return masks, known
    ious = [mask_ious(np.asarray(proposals[[t]])[0], objects) for t, objects in truth.items()]  # (N, K) each
    pairs = best_pairs(np.nan_to_num(ious, nan=1.0).mean(axis=0))
    for t, objects in truth.items():
        for n, k in zip(*pairs, strict=True):
            masks[t, k], known[t, k] = objects[n], True
    return masks, known


def finetune_upsampler(
    checkpoint: Checkpoint,
    clips: Sequence[LabelledClip],
    course: Course,
    *,
    batch: int = 1,
    window: int = 7,
    limit: int = PART_LIMIT,
    target: int = PART_LENGTH,
    recipe: dict[str, Any] | None = None,
) -> Checkpoint:
    """Continue training the decoder of a corrector with annotations. All other tensors stay identical, bit for bit.

    The arguments are those of `models.adaptation.adapt_corrector.adapt_corrector`. The new checkpoint's recipe contains
    `"on": "annotations"`, which marks all later uses of it as not label-free.
    """
    if not clips:
        raise ValueError("clips: wanted at least one with annotations, got none")
    training = {
        "on": TrainedOn.ANNOTATIONS.value,
        "batch": batch,
        "window": window,
        "limit": limit,
        "target": target,
    }
    training |= recipe or {}
    module = build_network(checkpoint, course.device, expect="corrector")
    module.requires_grad_(False)
    module.decoder.requires_grad_(True)
    return go_on(
        checkpoint,
        module,
        CorrectorClipBatches(clips, window, limit, target, batch),
        CorrectorClipLoss(WEIGHTS, use_masks=True, precision=course.precision),
        course,
        training,
    )
