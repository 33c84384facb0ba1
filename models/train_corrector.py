"""Pre-training of the mask corrector on synthetic clips (section 3.3).

It learns from episodes: a window of target frames is corrected from the exemplars of its clip. Now and then
the masks of the window are hidden from the UNet, so that frame and exemplars must suffice.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.checkpoints import Checkpoint, tensors_digest
from models.clip_pool import ClipBatches, ClipProposals, ClipTokens
from models.corrector import Correction
from models.losses import CORRECTOR_WEIGHTS, corrector_losses
from models.planning import exemplars as frames_of_least_error
from models.recipe import (
    RARE,
    TokenExtractor,
    finished,
    first_network,
    frozen,
    pictures_identity,
    schedule_for,
    seen_and_unseen,
    start_identity,
    with_tokens,
)
from models.selector import scores
from models.sizes import COMPACT, PRETRAINING
from models.train_features import normalised
from models.training import Batch, OnStep, autocast, mean_of, train

GRID = (16, 28)
HIDDEN_SHARE = 0.3  # of pre-training steps that hide the masks from the UNet
EXEMPLARS: int = PRETRAINING["exemplars"]


def correct_episode(module: Any, episode: Batch, *, use_masks: bool) -> Correction:
    """The corrector's answer to an episode: tensors of one clip, without the batch axis.

    Window: rgb u8 (T, H, W, 3), tokens (T, h, w, C), masks (T, K, H, W), frames (T,). Exemplars, gathered by
    `table` int (K, E): exemplar_tokens (E, K, h, w, C), exemplar_masks (E, K, H, W), exemplar_scores (E, K).
    """
    of = {name: value[None] for name, value in episode.items() if isinstance(value, Tensor)}
    tokens, masks, scores = (of[f"exemplar_{name}"].float() for name in ("tokens", "masks", "scores"))
    memory = module.remember(tokens, masks, scores, of["table"])
    rgb = normalised(episode["rgb"])[None]  # (1, T, 3, H, W)
    window = rgb, of["tokens"].float(), of["masks"].float(), of["frames"]
    answer: Correction = module(*window, memory, use_masks=use_masks)
    return answer


class CorrectorLoss:
    """Episodes from synthetic clips: exemplars are the frames whose masks are truly best, roughly.

    exemplars: at most so many for each object. precision: see `models.training.autocast`.
    """

    def __init__(
        self,
        proposals: ClipProposals,
        tokens: ClipTokens,
        window: int,
        exemplars: int = EXEMPLARS,
        precision: str = "float32",
    ) -> None:
        self.proposals, self.tokens, self.window, self.exemplars = proposals, tokens, window, exemplars
        self.precision = precision

    def __call__(self, module: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch of `ClipBatches`, the mean over its clips."""
        masks, tokens = self.proposals.of(batch), self.tokens.of(batch)
        results = []
        for clip in range(len(masks)):
            draws, truth = batch["draws"][clip], batch["truth"][clip]
            table, score = choose_exemplars(masks[clip], truth, draws, self.exemplars)
            start = int(draws[1, 0] * (len(truth) - self.window + 1))
            span = slice(start, start + self.window)
            rows = table.clamp(min=0).T  # (E, K); entries without exemplar hold any frame
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


def weights_for(module: Any, weights: Mapping[str, float]) -> dict[str, float]:
    """The terms of a loss that apply to a corrector: one without object queries reconstructs nothing."""
    return {name: value for name, value in weights.items() if module.reconstructs or name != "reconstruction"}


def choose_exemplars(
    masks: Tensor, truth: Tensor, draws: Tensor, most: int = EXEMPLARS
) -> tuple[Tensor, Tensor]:
    """Exemplars and scores from the true errors of masks bool (T, K, H, W), as a good selector gives them.

    draws: uniform (T, K), which blur the errors and choose how many exemplars there are, up to `most`.
    Returns the table (K, E) of frames and the scores (T, K).
    """
    wrong = (masks != truth).sum(dim=(2, 3))
    errors = wrong / (masks.sum(dim=(2, 3)) + 1.0) * torch.exp(draws - 0.5)  # (T, K)
    count = 1 + int(draws[0, 0] * min(most, len(masks)))
    usable = masks.flatten(2).any(2)
    table = frames_of_least_error(errors.cpu().numpy(), usable.cpu().numpy(), count)
    return torch.from_numpy(table).to(masks.device), scores(errors[None].float())[0]


def pretrain_corrector(
    oclr: Checkpoint,
    *,
    features: TokenExtractor,
    steps: int,
    seed: int = 0,
    device: str = "cpu",
    photos: Path | None = None,
    silhouettes: Path | None = None,
    network: dict[str, Any] | None = None,
    start: Checkpoint | None = None,
    frames: int = 8,
    window: int = 4,
    exemplars: int = EXEMPLARS,
    batch: int = 1,
    flow: str = "mixed",
    pool: int = 0,
    rate: float | None = None,
    precision: str = "float32",
    state: Path | None = None,
    checkpoint_every: int = 100,
    on_step: OnStep | None = None,
    workers: int = 0,
) -> Checkpoint:
    """Train a corrector to repair proposals of `oclr` and damaged masks, `window` frames of a clip at a time.

    network: constructor arguments, see `models.checkpoints.new_network`. exemplars: at most so many per object.
    start: weights to go on from, with a schedule of its own; see `models.recipe.first_network`.
    features: the frozen network whose tokens it reads. pool: distinct clips, 0 for new ones at every step.
    """
    if not 1 <= window <= frames or frames < 2:
        raise ValueError(f"window, frames: wanted 1 <= window <= frames and 2 frames, got {window}, {frames}")
    network = with_tokens(COMPACT["corrector"] if network is None else network, features)
    recipe = {"on": "synthetic clips", "steps": steps, "seed": seed, "frames": frames, "window": window}
    recipe |= {
        "batch": batch,
        "flow": flow,
        "pool": pool,
        "rate": rate,
        **pictures_identity(photos, silhouettes),
    }
    recipe |= start_identity(start)
    recipe |= {"oclr": tensors_digest(oclr.tensors), "precision": precision}
    if exemplars != EXEMPLARS:  # else nothing is said, and a run that began before there was a choice goes on
        recipe |= {"exemplars": exemplars}
    module = first_network("corrector", network, seed, start=start, features=features, first_guess=RARE)
    clips, unseen = seen_and_unseen(seed, photos=photos, silhouettes=silhouettes, frames=frames)
    train(
        module,
        ClipBatches(clips, batch, flow, pool),
        CorrectorLoss(
            ClipProposals(frozen(oclr, "oclr", device), pool),
            ClipTokens(features, GRID, pool),
            window,
            exemplars,
            precision,
        ),
        steps=steps,
        schedule=schedule_for(steps, rate),
        seed=seed,
        device=device,
        checkpoint=state,
        checkpoint_every=checkpoint_every,
        recipe=recipe | {"network": network},
        on_step=on_step,
        workers=workers,
        validation=ClipBatches(unseen, batch, flow, 0),
    )
    return finished("corrector", module, network=network, training=recipe, features=features)
