"""Pre-training of the mask selector on synthetic clips: where are these proposals wrong? (section 3.2)"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from motion_adapt.models.inputs.features import TokenExtractor
from motion_adapt.models.inputs.imaging import normalised
from motion_adapt.models.networks.checkpoints import Checkpoint, frozen, tensors_digest
from motion_adapt.models.networks.sizes import COMPACT
from motion_adapt.models.pretraining.clip_batches import ClipBatches, ClipProposals, ClipTokens
from motion_adapt.models.pretraining.recipe import (
    RARE,
    first_network,
    seen_and_unseen,
    synthetic_recipe,
    trained,
    with_tokens,
)
from motion_adapt.models.training.batches import Batch
from motion_adapt.models.training.course import Course
from motion_adapt.models.training.loop import autocast
from motion_adapt.models.training.losses import score_losses, selector_losses

GRID = (8, 14)
EMPTY_CHANNEL_SHARE = 0.1  # of clips judged on a channel drawn from all, perhaps one without an object


class SelectorLoss:
    """One object of each clip is judged: the selector treats objects apart, so one is enough for a step.

    precision: see `models.training.loop.autocast`.
    """

    def __init__(self, proposals: ClipProposals, tokens: ClipTokens, precision: str = "float32") -> None:
        self.proposals, self.tokens, self.precision = proposals, tokens, precision

    def __call__(self, module: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch of `ClipBatches`."""
        chosen = choose_objects(batch["truth"], batch["draws"])
        masks, truth = (pick(m, chosen) for m in (self.proposals.of(batch), batch["truth"]))
        rgb = torch.stack([normalised(frames) for frames in batch["rgb"]])  # (B, T, 3, H, W)
        tokens = self.tokens.of(batch)  # of a frozen network, as at inference: not in halves
        with autocast(rgb.device, self.precision):
            answer = module(masks.float(), rgb, tokens)
        return (score_losses if module.head == "score" else selector_losses)(answer.float(), masks, truth)


def choose_objects(truth: Tensor, draws: Tensor) -> Tensor:
    """A channel of each clip, (B,): mostly one that shows an object; draws are uniform, (B, T, K)."""
    shown = truth.flatten(3).any(3).any(1)  # (B, K)
    anything = draws[:, 0, 0] < EMPTY_CHANNEL_SHARE
    eligible = shown | anything[:, None] | ~shown.any(1, keepdim=True)
    return torch.where(eligible, draws[:, -1], -1.0).argmax(1)


def pick(masks: Tensor, channels: Tensor) -> Tensor:
    """(B, T, K, H, W), (B,) -> (B, T, 1, H, W)."""
    return torch.stack([clip[:, k : k + 1] for clip, k in zip(masks, channels.tolist(), strict=True)])


def pretrain_selector(
    oclr: Checkpoint,
    course: Course,
    *,
    features: TokenExtractor,
    photos: Path | None = None,
    silhouettes: Path | None = None,
    network: dict[str, Any] | None = None,
    start: Checkpoint | None = None,
    frames: int = 6,
    batch: int = 1,
    flow: str = "mixed",
    pool: int = 0,
) -> Checkpoint:
    """Train a selector to find the errors in proposals of `oclr` and in damaged masks, or with `network`'s
    head="score" to tell their IoU.

    start: weights to go on from, with a schedule of its own; see `models.pretraining.recipe.first_network`.
    features: the frozen network whose tokens it reads. pool: distinct clips, 0 for new ones at every step.
    """
    network = with_tokens(COMPACT["selector"] if network is None else network, features)
    recipe = synthetic_recipe(course, photos, silhouettes, start, features)
    recipe |= {"frames": frames, "batch": batch, "flow": flow, "pool": pool}
    recipe |= {"oclr": tensors_digest(oclr.tensors)}
    first_guess = None if network.get("head") == "score" else (RARE, 0.0, RARE)
    module = first_network(
        "selector", network, course.seed, start=start, features=features, first_guess=first_guess
    )
    clips, unseen = seen_and_unseen(course.seed, photos=photos, silhouettes=silhouettes, frames=frames)
    proposals = ClipProposals(frozen(oclr, "oclr", course.device), pool)
    return trained(
        "selector",
        module,
        ClipBatches(clips, batch, flow, pool, shared=course.workers > 0),
        SelectorLoss(proposals, ClipTokens(features, GRID, pool), course.precision),
        course,
        network=network,
        recipe=recipe,
        validation=ClipBatches(unseen, 1, flow, 0),
        features=features,
    )
