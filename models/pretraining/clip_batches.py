"""Training batches for selector and corrector: synthetic clips with proposals and tokens."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from motion_adapt.models.inputs.features import TokenExtractor
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.models.synthetic.corruptions import corrupt_clip
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.models.synthetic.synthetic_flow import clip_flow
from motion_adapt.models.synthetic.textures import recolour
from motion_adapt.models.training.batches import Batch
from motion_adapt.models.training.matching import match_by_iou, permute_objects
from motion_adapt.models.training.shared_pool import Arrays, Pool

LIGHT_CHANGES = 0.5  # share of clips with changing light, as if they were ten times as long


@dataclass
class Kept:
    """Cache of per-clip results, keyed by clip number. It keeps the `keep` entries that were added last."""

    keep: int
    kept: OrderedDict[int, Any] = field(default_factory=OrderedDict)

    def of(self, number: int, make: Callable[[], Any]) -> Any:
        """Return the entry of a clip, calling `make` only if the cache does not hold it."""
        if number not in self.kept:
            self.kept[number] = make()
            while len(self.kept) > max(1, self.keep):
                self.kept.popitem(last=False)
        return self.kept[number]


@dataclass
class ClipBatches:
    """Batches of clips with ground truth, damaged masks, and the flow from which OCLR proposes its own masks.

    A batch holds:
        numbers: identify the clips.
        rgb: u8 (B, T, H, W, 3).
        flow: f32 (B, T, 4, H, W).
        truth, damaged: bool (B, T, K, H, W).
        proposed: bool (B, T, K), True if OCLR's proposal is used instead of the damaged mask.
        draws: uniform (B, T, K), for the random choices of the loss.

    Attributes:
        clips: supply of clips.
        batch: clips in a batch.
        flow: a kind of `models.synthetic.synthetic_flow`.
        pool: number of distinct clips, which recur. Each is rendered once, and its tokens and proposals are computed
            once; about 3 MB per clip stay in memory. 0 for an endless supply of new clips.
        shared: see `Pool`.
        kept: the pool's clips; None without a pool.
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
        """Return the clips of one step."""
        if self.kept is None:
            numbers = list(range(step * self.batch, (step + 1) * self.batch))
            made = [self.make(number, rng) for number in numbers]
        else:
            numbers = [int(n) for n in rng.integers(self.pool, size=self.batch)]
            made = [self.kept[number] for number in numbers]
        truth = np.stack([clip["truth"] for clip in made])
        share = rng.choice([0.0, 0.5, 1.0], p=[0.3, 0.3, 0.4])
        return {
            # the seed makes the numbers of two supplies distinct
            "numbers": [self.clips.seed << 32 | number for number in numbers],
            "rgb": np.stack([clip["rgb"] for clip in made]),
            "flow": np.stack([clip["flow"] for clip in made]).astype(np.float32),
            "truth": truth,
            "damaged": np.stack([corrupt_clip(rng, masks) for masks in truth]),
            "proposed": rng.random(truth.shape[:3]) < share,
            "draws": rng.random((self.batch, *truth.shape[1:3])),
        }

    def make_own(self, number: int) -> Arrays:
        """Generate clip `number` of the pool. The clip and its flow are the same every time."""
        return self.make(number, np.random.default_rng([self.clips.seed, number, 1]))

    def make(self, number: int, rng: np.random.Generator) -> Arrays:
        """Generate clip `number`. Its flow is f16 if the clip belongs to a pool."""
        clip = self.clips.make(number)
        flow = clip_flow(clip, kind=self.flow, gap=1, rng=rng)
        changing = rng.random() < LIGHT_CHANGES
        return {
            "rgb": np.stack([recolour(rng, frame) for frame in clip.rgb]) if changing else clip.rgb,
            "truth": clip.modal,
            "flow": flow.astype(np.float16) if self.pool else flow,
        }


class ClipProposals:
    """Masks for a network to judge or repair: OCLR's proposals or damaged ground truth.

    OCLR's channels are reordered to match the ground truth, which synthetic clips have.
    """

    def __init__(self, oclr: OCLR, keep: int) -> None:
        self.oclr, self.kept = oclr, Kept(keep)

    def of(self, batch: Batch) -> Tensor:
        """Return the masks of a batch, bool (B, T, K, H, W) on its device."""
        if not batch["proposed"].any():
            return batch["damaged"]
        clips = zip(batch["numbers"], batch["flow"], batch["truth"], strict=True)
        masks = torch.stack([self.kept.of(n, partial(self.one, flow, truth)) for n, flow, truth in clips])
        return torch.where(batch["proposed"][..., None, None], masks, batch["damaged"])

    @torch.no_grad()
    def one(self, flow: Tensor, truth: Tensor) -> Tensor:
        """Return the proposals of one clip, bool (T, K, H, W)."""
        masks = self.oclr.masks(flow[None])
        return permute_objects(masks, match_by_iou(masks, truth[None]))[0]


class ClipTokens:
    """Tokens of synthetic clips on one grid, cached in 16 bits."""

    def __init__(self, extractor: TokenExtractor, grid: tuple[int, int], keep: int) -> None:
        self.extractor, self.grid, self.kept = extractor, grid, Kept(keep)

    def of(self, batch: Batch) -> Tensor:
        """Return the tokens of a batch, f32 (B, T, h, w, C) on its device."""
        rgb: Any = batch["rgb"]
        clips = zip(batch["numbers"], rgb, strict=True)
        tokens = [self.kept.of(number, partial(self.one, frames)) for number, frames in clips]
        return torch.from_numpy(np.stack(tokens)).to(rgb.device).float()

    def one(self, frames: Tensor) -> np.ndarray:
        """Compute the tokens of one clip, f16 (T, h, w, C)."""
        return self.extractor.extract(frames.cpu().numpy(), self.grid).astype(np.float16)
