"""Pre-train the mask corrector on synthetic clips (section 3.3).

It learns from episodes: a window of target frames is corrected from the exemplars of its clip, which are chosen as at
inference. In some steps the masks of the window are hidden from the UNet, so that frame and exemplars must suffice.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from motion_adapt.models.inference.pipeline import select
from motion_adapt.models.inference.planning import exemplar_table
from motion_adapt.models.inference.proposal_judges import Judge, propagation_judge
from motion_adapt.models.inputs.features import (
    CORRECTOR_GRID,
    SELECTOR_GRID,
    TokenExtractor,
    extractor_identity,
)
from motion_adapt.models.networks.checkpoints import Checkpoint, Corrector, build_network, tensors_digest
from motion_adapt.models.networks.selector import MaskSelector
from motion_adapt.models.networks.sizes import COMPACT, PRETRAINING
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
from motion_adapt.models.training.episodes import EXEMPLARS, correct_episode, weights_for
from motion_adapt.models.training.loop import autocast, mean_of
from motion_adapt.models.training.losses import CORRECTOR_WEIGHTS, corrector_losses

HIDDEN_SHARE = 0.3  # share of episodes in which the masks are hidden from the UNet
CHOICES = ("propagation", "selector", "truth")  # ways to choose exemplars


class CorrectorLoss:
    """The corrector's loss on episodes from synthetic clips.

    Args:
        proposals: masks to correct.
        tokens: tokens of the clips.
        window: target frames of an episode.
        exemplars: maximum number of exemplars per object.
        precision: see `models.training.loop.autocast`.
        judge: chooses the exemplars, see `select`; None to choose them by their true errors, see `true_judge`.
        judge_tokens: tokens that the judge reads; None for `tokens`.
    """

    def __init__(
        self,
        proposals: ClipProposals,
        tokens: ClipTokens,
        window: int,
        exemplars: int = EXEMPLARS,
        precision: str = "float32",
        judge: MaskSelector | Judge | None = None,
        judge_tokens: ClipTokens | None = None,
    ) -> None:
        self.proposals, self.tokens, self.window, self.exemplars = proposals, tokens, window, exemplars
        self.precision, self.judge, self.judge_tokens = precision, judge, judge_tokens

    def __call__(self, module: Corrector, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch of `ClipBatches`: the mean over its clips."""
        masks, tokens = self.proposals.of(batch), self.tokens.of(batch)
        judged = tokens if self.judge_tokens is None else self.judge_tokens.of(batch)
        results = []
        for clip in range(len(masks)):
            draws, truth = batch["draws"][clip], batch["truth"][clip]
            judge = true_judge(truth, draws) if self.judge is None else self.judge
            table, score = choose_exemplars(
                judge, batch["rgb"][clip], judged[clip], masks[clip], draws, self.exemplars
            )
            start = int(draws[1, 0] * (len(truth) - self.window + 1))
            span = slice(start, start + self.window)
            rows = table.clamp(min=0).T  # (E, K); entries without an exemplar hold an arbitrary frame
            objects = torch.arange(len(table), device=table.device)
            episode = {
                "rgb": batch["rgb"][clip, span],
                "tokens": tokens[clip, span],
                "masks": masks[clip, span],
                "frames": torch.arange(span.start, span.stop, device=masks.device),
                "table": table,
                "exemplar_tokens": tokens[clip, rows],
                "exemplar_masks": masks[clip, rows, objects],
                "exemplar_scores": score[rows, objects],
            }
            with autocast(masks.device, self.precision):
                answer = correct_episode(module, episode, use_masks=bool(draws[1, 1] > HIDDEN_SHARE))
            results.append(
                corrector_losses(
                    *(part.float() for part in (answer.logits, answer.features, answer.alpha)),
                    tokens=tokens[clip : clip + 1, span],
                    truth=truth[None, span],
                    weights=weights_for(module, CORRECTOR_WEIGHTS),
                )
            )
        return mean_of(results)


def choose_exemplars(
    judge: MaskSelector | Judge,
    rgb: Tensor,
    tokens: Tensor,
    masks: Tensor,
    draws: Tensor,
    most: int = EXEMPLARS,
) -> tuple[Tensor, Tensor]:
    """Choose the exemplars of one clip as at inference, but a random number of them, from 1 to `most` per object.

    Args:
        judge: see `select`.
        rgb: u8 (T, H, W, 3).
        tokens: (T, h, w, C).
        masks: bool (T, K, H, W).
        draws: uniform (T, K). The first determines the number of exemplars.
        most: maximum number of exemplars per object.

    Returns:
        The table of frames (K, E) and the scores (T, K), on the masks' device.
    """
    T = len(masks)
    seen = (part.cpu().numpy() for part in (rgb, tokens, masks))
    (choice,) = select(judge, *seen, t=1 + int(draws[0, 0] * min(most, T)), limit=T)
    found = exemplar_table(choice.exemplars), choice.scores
    table, score = (torch.from_numpy(array).to(masks.device) for array in found)
    return table, score


def true_judge(truth: Tensor, draws: Tensor) -> Judge:
    """Return a judge of one clip's masks that uses their true errors with noise, like a good selector.

    Args:
        truth: bool (T, K, H, W).
        draws: uniform (T, K). They determine the noise, a factor between 0.6 and 1.65.
    """

    def judge(tokens: np.ndarray, masks: NDArray[np.bool_], start: int) -> NDArray[np.float32]:
        wrong = (masks != truth.cpu().numpy()).sum(axis=(2, 3))  # (T, K)
        blur = np.exp(draws.cpu().numpy() - 0.5)
        return (wrong / (masks.sum(axis=(2, 3)) + 1) * blur).astype(np.float32)

    return judge


def judge_by(choice: str, selector: Checkpoint | None, device: str) -> MaskSelector | Judge | None:
    """Return the judge for a name of `CHOICES`, or None for "truth", since then each clip has its own judge."""
    if choice not in CHOICES:
        raise ValueError(f"exemplars_by: wanted one of {', '.join(CHOICES)}, got {choice!r}")
    if choice == "truth":
        return None
    if choice == "propagation":
        return propagation_judge(device=device)
    if selector is None:
        raise ValueError("exemplars_by: wanted a trained selector to choose by, got None")
    return build_network(selector, device, expect="selector").requires_grad_(False)


def pretrain_corrector(
    oclr: Checkpoint,
    course: Course,
    *,
    features: TokenExtractor,
    photos: Path | None = None,
    silhouettes: Path | None = None,
    network: dict[str, Any] | None = None,
    start: Checkpoint | None = None,
    frames: int = 8,
    window: int = 4,
    exemplars: int = EXEMPLARS,
    exemplars_by: str = PRETRAINING["exemplars_by"],
    selector: Checkpoint | None = None,
    selector_features: TokenExtractor | None = None,
    batch: int = 1,
    flow: str = "mixed",
    pool: int = 0,
) -> Checkpoint:
    """Train a corrector to repair proposals of `oclr` and damaged masks.

    Args:
        oclr: network that proposes masks.
        course: hyperparameters.
        features: frozen network whose tokens the corrector reads.
        photos: folder of pictures; None for procedural textures.
        silhouettes: folder of masks for half of the shapes.
        network: constructor arguments, see `new_network`.
        start: start weights; the schedule begins anew. See `models.pretraining.recipe.first_network`.
        frames: frames of a clip.
        window: target frames of an episode.
        exemplars: maximum number of exemplars per object.
        exemplars_by: how they are chosen: by "propagation" of the features, by a trained "selector", or by their true
            errors ("truth").
        selector: only for exemplars_by="selector".
        selector_features: network whose tokens the selector reads; None for `features`.
        batch: clips in a step.
        flow: a kind of `models.synthetic.synthetic_flow`.
        pool: number of distinct clips; 0 for new ones at every step.
    """
    if not 1 <= window <= frames or frames < 2:
        raise ValueError(f"window, frames: wanted 1 <= window <= frames and 2 frames, got {window}, {frames}")
    judge = judge_by(exemplars_by, selector, course.device)
    network = with_tokens(COMPACT["corrector"] if network is None else network, features)
    recipe = synthetic_recipe(course, photos, silhouettes, start, features)
    recipe |= {"frames": frames, "window": window, "batch": batch, "flow": flow, "pool": pool}
    recipe |= {"exemplars": exemplars, "exemplars_by": exemplars_by, "oclr": tensors_digest(oclr.tensors)}
    read_by_judge: ClipTokens | None = None
    if selector and exemplars_by == "selector":
        seen = selector_features or features
        recipe |= {
            "selector": tensors_digest(selector.tensors),
            "selector_features": extractor_identity(seen),
        }
        read_by_judge = ClipTokens(seen, SELECTOR_GRID, pool)
    module = first_network(
        "corrector", network, course.seed, start=start, features=features, first_guess=RARE
    )
    clips, unseen = seen_and_unseen(course.seed, photos=photos, silhouettes=silhouettes, frames=frames)
    proposals = ClipProposals(build_network(oclr, course.device, expect="oclr").requires_grad_(False), pool)
    tokens = ClipTokens(features, CORRECTOR_GRID, pool)
    return trained(
        "corrector",
        module,
        ClipBatches(clips, batch, flow, pool, shared=course.workers > 0),
        CorrectorLoss(proposals, tokens, window, exemplars, course.precision, judge, read_by_judge),
        course,
        network=network,
        recipe=recipe,
        validation=ClipBatches(unseen, 1, flow, 0),
        features=features,
    )
