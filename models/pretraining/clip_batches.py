"""Synthetic clips with proposals and tokens, as selector and corrector are pre-trained on them."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from motion_adapt.models.inputs.features import TokenExtractor
from motion_adapt.models.synthetic.corruptions import corrupt_clip
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.models.synthetic.synthetic_flow import clip_flow
from motion_adapt.models.synthetic.textures import recolour
from motion_adapt.models.training.batches import Batch
from motion_adapt.models.training.matching import match_by_iou, permute_objects
from motion_adapt.models.training.shared_pool import Arrays, Pool

LIGHT_CHANGES = 0.5  # of clips have frames as unlike in light as those of a video that is ten times as long


@dataclass
class Kept:
    """What was worked out of clips, by the numbers that name them; that of the last `keep` clips stays in memory."""

    keep: int
    kept: OrderedDict[int, Any] = field(default_factory=OrderedDict)

    def of(self, number: int, make: Callable[[], Any]) -> Any:
        """What `make` gives; it is asked once as long as its answer is kept."""
        if number not in self.kept:
            self.kept[number] = make()
            while len(self.kept) > max(1, self.keep):
                self.kept.popitem(last=False)
        return self.kept[number]


@dataclass
class ClipBatches:
    """Clips with ground truth, damaged masks and what OCLR needs to propose its own.

    pool: number of distinct clips, which then come again and again, so that they are drawn, and their tokens and
    OCLR's proposals computed, once (about 3 MB each stay in memory); 0 for new clips for ever. shared: see
    `Pool`. A batch holds rgb u8 (B, T, H, W, 3), flow f32 (B, T, 4, H, W), truth and damaged bool
    (B, T, K, H, W), `proposed` bool (B, T, K): where the proposal of OCLR is used rather than the damaged mask, uniform
    `draws` (B, T, K) for the loss's own choices, and numbers that name the clips.
    """

    clips: SyntheticClips
    batch: int
    flow: str
    pool: int
    shared: bool = False
    kept: Pool | None = field(init=False)

    def __post_init__(self) -> None:
        self.kept = Pool(self.pool, self.make_own, shared=self.shared) if self.pool else None

    def __call__(self, step: int, rng: np.random.Generator) -> Batch:
        """The clips of one step."""
        if self.kept is None:
            numbers = list(range(step * self.batch, (step + 1) * self.batch))
            made = [self.make(number, rng) for number in numbers]
        else:
            numbers = [int(n) for n in rng.integers(self.pool, size=self.batch)]
            made = [self.kept[number] for number in numbers]
        truth = np.stack([clip["truth"] for clip in made])
        share = rng.choice([0.0, 0.5, 1.0], p=[0.3, 0.3, 0.4])
        return {
            # of two supplies, no two numbers are the same
            "numbers": [self.clips.seed << 32 | number for number in numbers],
            "rgb": np.stack([clip["rgb"] for clip in made]),
            "flow": np.stack([clip["flow"] for clip in made]).astype(np.float32),
            "truth": truth,
            "damaged": np.stack([corrupt_clip(rng, masks) for masks in truth]),
            "proposed": rng.random(truth.shape[:3]) < share,
            "draws": rng.random((self.batch, *truth.shape[1:3])),
        }

    def make_own(self, number: int) -> Arrays:
        """Clip `number` of the pool, the same with the same flow every time."""
        return self.make(number, np.random.default_rng([self.clips.seed, number, 1]))

    def make(self, number: int, rng: np.random.Generator) -> Arrays:
        """Clip `number`, drawn anew; its flow is f16 where it is to be kept."""
        clip = self.clips.make(number)
        flow = clip_flow(clip, kind=self.flow, gap=1, rng=rng)
        changing = rng.random() < LIGHT_CHANGES
        return {
            "rgb": np.stack([recolour(rng, frame) for frame in clip.rgb]) if changing else clip.rgb,
            "truth": clip.modal,
            "flow": flow.astype(np.float16) if self.pool else flow,
        }


class ClipProposals:
    """Masks that a network is to judge or repair: OCLR's, or damaged ground truth.

    OCLR's channels are put in the order of the ground truth, which synthetic clips have.
    """

    def __init__(self, oclr: Any, keep: int) -> None:
        self.oclr, self.kept = oclr, Kept(keep)

    def of(self, batch: Batch) -> Tensor:
        """bool (B, T, K, H, W) on the device of the batch."""
        if not batch["proposed"].any():
            return batch["damaged"]
        clips = zip(batch["numbers"], batch["flow"], batch["truth"], strict=True)
        masks = torch.stack([self.kept.of(n, partial(self.one, flow, truth)) for n, flow, truth in clips])
        return torch.where(batch["proposed"][..., None, None], masks, batch["damaged"])

    @torch.no_grad()
    def one(self, flow: Tensor, truth: Tensor) -> Tensor:
        """Of one clip, bool (T, K, H, W)."""
        masks = self.oclr.masks(flow[None])
        return permute_objects(masks, match_by_iou(masks, truth[None]))[0]


class ClipTokens:
    """Tokens of synthetic clips on one grid, in 16 bits."""

    def __init__(self, extractor: TokenExtractor, grid: tuple[int, int], keep: int) -> None:
        self.extractor, self.grid, self.kept = extractor, grid, Kept(keep)

    def of(self, batch: Batch) -> Tensor:
        """f32 (B, T, h, w, C) on the device of the batch."""
        rgb: Any = batch["rgb"]
        clips = zip(batch["numbers"], rgb, strict=True)
        tokens = [self.kept.of(number, partial(self.one, frames)) for number, frames in clips]
        return torch.from_numpy(np.stack(tokens)).to(rgb.device).float()

    def one(self, frames: Tensor) -> np.ndarray:
        """f16 (T, h, w, C) of one clip."""
        return self.extractor.extract(frames.cpu().numpy(), self.grid).astype(np.float16)
