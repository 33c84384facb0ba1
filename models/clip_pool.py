"""Synthetic clips with proposals and tokens, as selector and corrector are pre-trained on them."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.corruptions import corrupt_clip
from models.matching import match_by_iou, permute_objects
from models.recipe import TokenExtractor
from models.synthetic import SyntheticClips
from models.synthetic_flow import clip_flow
from models.training import Batch


@dataclass(frozen=True)
class ClipBatches:
    """Clips with ground truth, damaged masks and what OCLR needs to propose its own.

    pool: number of distinct clips, which then come again and again so that their tokens are computed once;
    0 for new clips for ever. A batch holds rgb u8 (B, T, H, W, 3), flow f32 (B, T, 4, H, W), truth and
    damaged bool (B, T, K, H, W), `proposed` bool (B, T, K): where the proposal of OCLR is used rather than
    the damaged mask, uniform `draws` (B, T, K) for the loss's own choices, and the clips' numbers.
    """

    clips: SyntheticClips
    batch: int
    flow: str
    pool: int

    def __call__(self, step: int, rng: np.random.Generator) -> Batch:
        """The clips of one step."""
        numbers = list(range(step * self.batch, (step + 1) * self.batch))
        if self.pool:
            numbers = [int(n) for n in rng.integers(self.pool, size=self.batch)]
        made = [self.clips.make(number) for number in numbers]
        truth = np.stack([clip.modal for clip in made])
        share = rng.choice([0.0, 0.5, 1.0], p=[0.3, 0.3, 0.4])
        return {
            "numbers": numbers,
            "rgb": np.stack([clip.rgb for clip in made]),
            "flow": np.stack([clip_flow(clip, kind=self.flow, gap=1, rng=rng) for clip in made]),
            "truth": truth,
            "damaged": np.stack([corrupt_clip(rng, masks) for masks in truth]),
            "proposed": rng.random(truth.shape[:3]) < share,
            "draws": rng.random((self.batch, *truth.shape[1:3])),
        }


@torch.no_grad()
def proposals(oclr: Any, batch: Batch) -> Tensor:
    """The masks that a network is to judge or repair, bool (B, T, K, H, W): OCLR's, or damaged ground truth.

    OCLR's channels are put in the order of the ground truth, which synthetic clips have.
    """
    if not batch["proposed"].any():
        return batch["damaged"]
    masks = oclr.masks(batch["flow"])
    masks = permute_objects(masks, match_by_iou(masks, batch["truth"]))
    return torch.where(batch["proposed"][..., None, None], masks, batch["damaged"])


@dataclass
class ClipTokens:
    """Tokens of synthetic clips on one grid; those of the last `keep` clips stay in memory, in 16 bits."""

    extractor: TokenExtractor
    grid: tuple[int, int]
    keep: int
    kept: OrderedDict[int, np.ndarray] = field(default_factory=OrderedDict)

    def of(self, batch: Batch) -> Tensor:
        """f32 (B, T, h, w, C) on the device of the batch."""
        rgb: Any = batch["rgb"]
        tokens = [self.one(number, frames) for number, frames in zip(batch["numbers"], rgb, strict=True)]
        return torch.from_numpy(np.stack(tokens)).to(rgb.device).float()

    def one(self, number: int, frames: Tensor) -> np.ndarray:
        """f16 (T, h, w, C) of clip `number`."""
        if number not in self.kept:
            self.kept[number] = self.extractor.extract(frames.cpu().numpy(), self.grid).astype(np.float16)
            while len(self.kept) > max(1, self.keep):
                self.kept.popitem(last=False)
        return self.kept[number]
