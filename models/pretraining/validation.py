"""Evaluate trained networks: modal IoU on synthetic clips that no training uses, channels matched to the truth."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from motion_adapt.models.inference.pipeline import correct, propose, select
from motion_adapt.models.inference.proposal_judges import Judge
from motion_adapt.models.inputs.features import CORRECTOR_GRID, SELECTOR_GRID, TokenExtractor
from motion_adapt.models.networks.checkpoints import Checkpoint, build_network
from motion_adapt.models.quality.measures import rank_correlation
from motion_adapt.models.scoring.ranking import mask_ious, object_aps
from motion_adapt.models.synthetic.synthetic_clip import SyntheticClip
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.models.synthetic.synthetic_flow import clip_flow
from motion_adapt.models.training.loop import VALIDATION_SEED
from motion_adapt.models.training.matching import matched_ious


class Validation(NamedTuple):
    """Results of a validation. A value is NaN if no clip has one.

    Attributes:
        proposals: mean IoU (0 to 1) of the proposals.
        corrected: mean IoU (0 to 1) of the corrected masks.
        alphas: mean IoU (0 to 1) of the corrector's alpha regions: the positions that an object's query explains.
        ranking: mean rank correlation, over time, of predicted and true error.
        selection_ap: selection AP (models/scoring/ranking.py). With fewer than 20 frames per clip, it is easier than
            the paper's.
    """

    proposals: float
    corrected: float
    alphas: float
    ranking: float
    selection_ap: float


def held_out(
    clips: int, frames: int, flow: str, photos: Path | None, silhouettes: Path | None = None
) -> Iterator[tuple[SyntheticClip, np.ndarray]]:
    """Yield validation clips with their flow f32 (T, 4, H, W)."""
    supply = SyntheticClips(seed=VALIDATION_SEED, photos=photos, silhouettes=silhouettes, frames=frames)
    for index in range(clips):
        clip = supply.make(index)
        yield clip, clip_flow(clip, kind=flow, gap=1, rng=np.random.default_rng([VALIDATION_SEED, 1, index]))


def iou(masks: np.ndarray, clip: SyntheticClip) -> float:
    """Compute the mean IoU of masks bool (T, K, H, W) with the visible objects of a clip."""
    pair = (torch.from_numpy(np.ascontiguousarray(m))[None] for m in (masks, clip.modal))
    return matched_ious(*pair).mean().item()


def alpha_masks(segments: NDArray[np.uint8], objects: int) -> NDArray[np.bool_]:
    """Return the alpha regions of the objects' queries, bool (T, K, H, W), from `Corrected.segments` u8 (T, H, W)."""
    return segments[:, None] == np.arange(objects)[:, None, None]


def validate_pipeline(
    oclr: Checkpoint,
    selector: Checkpoint | Judge,
    corrector: Checkpoint,
    features: TokenExtractor,
    *,
    judge_features: TokenExtractor | None = None,
    chosen_by: Judge | None = None,
    clips: int = 8,
    frames: int = 12,
    flow: str = "noisy",
    photos: Path | None = None,
    silhouettes: Path | None = None,
    device: str = "cpu",
    on_clip: Callable[[int], None] = lambda clips: None,
) -> Validation:
    """Propose, select and correct in the same way as for a user's clips, and compare with the truth.

    Args:
        oclr: network that proposes masks.
        selector: checkpoint, or a rule of models/inference/proposal_judges.py instead, that ranks the frames.
        corrector: network that corrects masks.
        features: features of the corrector, and of the selector unless `judge_features` is given.
        judge_features: features of the selector.
        chosen_by: rule that chooses the exemplars by the corrector's features; None to choose them by the selector.
        clips: number of clips.
        frames: frames of a clip. However many they are, a clip is one part, with exemplars for all of it.
        flow: a kind of `models.synthetic.synthetic_flow`.
        photos: folder of pictures; None for procedural textures.
        silhouettes: folder of masks for half of the shapes.
        device: device on which the networks run.
        on_clip: called with 1 after every clip.

    Raises:
        ValueError: no clip is asked for.
    """
    if clips < 1:
        raise ValueError(f"clips: wanted at least 1, got {clips}")
    proposer = build_network(oclr, device, expect="oclr")
    repairer = build_network(corrector, device, expect="corrector")
    judge = (
        build_network(selector, device, expect="selector") if isinstance(selector, Checkpoint) else selector
    )
    results, aps = [], []
    for clip, seen in held_out(clips, frames, flow, photos, silhouettes):
        masks = np.concatenate([part.masks for part in propose(proposer, seen)])
        tokens = features.extract(clip.rgb, CORRECTOR_GRID)
        network = judge_features or features
        seen_by_judge = network.extract(clip.rgb, SELECTOR_GRID) if judge is not selector else tokens
        (selection,) = select(judge, clip.rgb, seen_by_judge, masks, limit=frames)
        (choice,) = select(chosen_by, clip.rgb, tokens, masks, limit=frames) if chosen_by else (selection,)
        given_to = clip.rgb, tokens, masks, choice.scores, choice.exemplars
        parts = list(correct(repairer, *given_to, limit=frames))
        corrected = np.concatenate([part.masks for part in parts])
        segments = np.concatenate([part.segments for part in parts])
        alphas = alpha_masks(segments, corrected.shape[1])
        found = [iou(made, clip) for made in (masks, corrected, alphas)]
        results.append((*found, ranking(selection.errors, masks, clip)))
        aps += object_aps(-selection.errors, mask_ious(masks, clip.modal)).tolist()
        on_clip(1)
    return Validation(*(_mean(column) for column in (*zip(*results, strict=True), aps)))


def _mean(values: Sequence[float]) -> float:
    found = [value for value in values if not np.isnan(value)]
    return float(np.mean(found)) if found else float("nan")


def ranking(errors: np.ndarray, masks: np.ndarray, clip: SyntheticClip) -> float:
    """Compute the rank correlation over time of predicted errors (T, K) with true ones, averaged over the objects.

    The true error of a mask is measured against the object that it fits best. The result is NaN if no object has a
    correlation.
    """
    found = []
    for k in np.flatnonzero(masks.any(axis=(0, 2, 3))):
        wrong = [(masks[:, k] != clip.modal[:, j]).sum(axis=(1, 2)) for j in range(clip.num_objects)]
        true = min(wrong, key=np.sum) / (masks[:, k].sum(axis=(1, 2)) + 1)
        correlation = rank_correlation(true, errors[:, k], least=2)
        if correlation is not None:
            found.append(correlation)
    return float(np.mean(found)) if found else float("nan")
