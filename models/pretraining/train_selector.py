"""Pre-train the mask selector on synthetic clips: where is a proposal wrong? (section 3.2)"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from motion_adapt.models.inputs.features import SELECTOR_GRID, TokenExtractor
from motion_adapt.models.inputs.imaging import normalise_rgb
from motion_adapt.models.networks.checkpoints import Checkpoint, build_network, tensors_digest
from motion_adapt.models.networks.selector import MaskSelector
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

# share of clips whose channel is drawn from all channels, even those without an object
EMPTY_CHANNEL_SHARE = 0.1


class SelectorLoss:
    """The selector's loss on one object of each clip. The selector judges objects separately, so one is enough.

    Args:
        proposals: masks to judge.
        tokens: tokens of the clips.
        precision: see `models.training.loop.autocast`.
    """

    def __init__(self, proposals: ClipProposals, tokens: ClipTokens, precision: str = "float32") -> None:
        self.proposals, self.tokens, self.precision = proposals, tokens, precision

    def __call__(self, module: MaskSelector, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch of `ClipBatches`."""
        chosen = choose_objects(batch["truth"], batch["draws"])
        masks, truth = (pick(m, chosen) for m in (self.proposals.of(batch), batch["truth"]))
        rgb = torch.stack([normalise_rgb(frames) for frames in batch["rgb"]])  # (B, T, 3, H, W)
        tokens = self.tokens.of(batch)  # from the frozen network in float32, as at inference
        with autocast(rgb.device, self.precision):
            answer = module(masks.float(), rgb, tokens)
        return (score_losses if module.head == "score" else selector_losses)(answer.float(), masks, truth)


def choose_objects(truth: Tensor, draws: Tensor) -> Tensor:
    """Choose a channel of each clip, (B,), usually one that shows an object. `draws` are uniform, (B, T, K)."""
    shown = truth.flatten(3).any(3).any(1)  # (B, K)
    anything = draws[:, 0, 0] < EMPTY_CHANNEL_SHARE
    eligible = shown | anything[:, None] | ~shown.any(1, keepdim=True)
    return torch.where(eligible, draws[:, -1], -1.0).argmax(1)


def pick(masks: Tensor, channels: Tensor) -> Tensor:
    """Pick one channel of each clip: masks (B, T, K, H, W) and channels (B,) give (B, T, 1, H, W)."""
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
    """Train a selector to find the errors in proposals of `oclr` and in damaged masks.

    Args:
        oclr: network that proposes masks.
        course: hyperparameters.
        features: frozen network whose tokens the selector reads.
        photos: folder of pictures; None for procedural textures.
        silhouettes: folder of masks for half of the shapes.
        network: constructor arguments of `MaskSelector`. With head="score", it learns to predict the masks' IoU.
        start: start weights; the schedule begins anew. See `models.pretraining.recipe.first_network`.
        frames: frames of a clip.
        batch: clips in a step.
        flow: a kind of `models.synthetic.synthetic_flow`.
        pool: number of distinct clips; 0 for new ones at every step.
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
    proposals = ClipProposals(build_network(oclr, course.device, expect="oclr").requires_grad_(False), pool)
    return trained(
        "selector",
        module,
        ClipBatches(clips, batch, flow, pool, shared=course.workers > 0),
        SelectorLoss(proposals, ClipTokens(features, SELECTOR_GRID, pool), course.precision),
        course,
        network=network,
        recipe=recipe,
        validation=ClipBatches(unseen, 1, flow, 0),
        features=features,
    )
