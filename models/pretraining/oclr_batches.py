"""Training batches for OCLR: flow of synthetic clips with amodal masks, at the resolution of its UNet.

Flow derived from the exact motion is cheap and never repeats. Estimated flow costs a hundred times as much. It
therefore comes from a pool of clips: each is estimated once, then reused mirrored, reversed and in parts.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from motion_adapt.models.inputs.flow_estimators import flow_estimator
from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.models.synthetic.synthetic_flow import clip_flow, estimated_flow
from motion_adapt.models.training.batches import Batch
from motion_adapt.models.training.shared_pool import Arrays, Pool

GAPS = (1, 1, 1, 2, 3)  # a gap is drawn from these, so that speeds vary
FINER = 2  # DIS runs at twice 128 x 224, since real frames are larger too

TIMES_SEEN = 20  # how often, on average, a training sees a clip with estimated flow
POOL_BYTES = 4 * 10**9  # maximum memory for these clips
EXAMPLE_BYTES = 4 * 2 + 3  # per pixel of a frame: flow in f16, and three masks

Example = tuple[np.ndarray, np.ndarray]


class EstimatedPool:
    """Clips with DIS flow at the resolution of `clips`, each generated when first drawn. They stay in memory.

    Args:
        clips: supply of clips.
        size: number of distinct clips, see `pool_size`.
        shared: see `models.training.shared_pool.Pool`.
    """

    def __init__(self, clips: SyntheticClips, size: int, *, shared: bool = False) -> None:
        self.clips = clips
        self.pool = Pool(size, self.make, shared=shared)

    def draw(self, rng: np.random.Generator, frames: int) -> Example:
        """Draw `frames` frames of a random clip: flow f32 (T, 4, H, W), amodal bool (T, K, H, W)."""
        clip = self.pool[int(rng.integers(self.pool.size))]
        start = int(rng.integers(len(clip["flow"]) - frames + 1))
        part = slice(start, start + frames)
        return clip["flow"][part].astype(np.float32), clip["amodal"][part]

    def make(self, number: int) -> Arrays:
        """Render clip `number` large, estimate its flow, then shrink: f16 "flow" and "amodal" masks."""
        clip = self.clips.at_size((HEIGHT * FINER, WIDTH * FINER)).make(number)
        gap = min(GAPS[number % len(GAPS)], self.clips.frames // 2)
        flow = estimated_flow(clip.rgb, gap=gap, estimator=flow_estimator("dis")) / FINER
        times = FINER * HEIGHT // self.clips.size[0]
        middle = slice(times // 2, None, times)
        return {"flow": shrink(flow, times).astype(np.float16), "amodal": clip.amodal[..., middle, middle]}


def pool_size(draws: int, frames: int, height: int, width: int) -> int:
    """Return the number of clips to generate, of `frames` frames each, for a training that draws `draws` times."""
    most = POOL_BYTES // (frames * height * width * EXAMPLE_BYTES)
    return max(1, min(round(draws / TIMES_SEEN), most))


def estimated_share(kind: str) -> float:
    """Return the share of a training's clips that have estimated flow, for a kind of flow."""
    return {"mixed": 0.4, "dis": 1.0}.get(kind, 0.0)


@dataclass(frozen=True)
class OclrBatches:
    """Batches of synthetic flow f32 (B, T, 4, H, W), in pixels of 128 x 224, with amodal masks bool (B, T, K, H, W).

    Attributes:
        clips: supply of clips. It determines H and W, at most 128 and 224.
        batch: clips in a batch.
        kind: a kind of `models.synthetic.synthetic_flow`; "mixed" draws a share of the clips from `pool`.
        pool: clips with estimated flow.
    """

    clips: SyntheticClips
    batch: int
    kind: str
    pool: EstimatedPool

    def __call__(self, step: int, rng: np.random.Generator) -> Batch:
        """Return the clips of one step, all of the same random length: OCLR must handle groups of any length."""
        frames = int(rng.integers(max(2, self.clips.frames // 2), self.clips.frames + 1))
        examples = [self.example(step * self.batch + i, rng, frames) for i in range(self.batch)]
        flow, amodal = zip(*examples, strict=True)
        return {"flow": np.stack(flow), "amodal": np.stack(amodal)}

    def example(self, index: int, rng: np.random.Generator, frames: int) -> Example:
        """Return one clip."""
        if rng.random() < estimated_share(self.kind):
            return mirrored(rng, *self.pool.draw(rng, frames))
        clip = self.clips.make(index, frames=frames, paint=False)
        gap = min(int(rng.choice(GAPS)), frames // 2)
        kind = "noisy" if self.kind == "mixed" else self.kind
        return clip_flow(clip, kind=kind, gap=gap, rng=rng), clip.amodal


def mirrored(rng: np.random.Generator, flow: np.ndarray, amodal: np.ndarray) -> Example:
    """Flip a clip at random horizontally, vertically and in time, and adjust its flow accordingly."""
    signs = np.ones(4, np.float32)
    if rng.random() < 0.5:
        flow, amodal = flow[..., ::-1], amodal[..., ::-1]
        signs[[0, 2]] = -1
    if rng.random() < 0.5:
        flow, amodal = flow[..., ::-1, :], amodal[..., ::-1, :]
        signs[[1, 3]] = -1
    if rng.random() < 0.5:
        flow, amodal = flow[::-1, [2, 3, 0, 1]], amodal[::-1]
    return flow * signs[:, None, None], amodal


def shrink(flow: np.ndarray, times: int) -> np.ndarray:
    """Average flow f32 (T, 4, H, W) over squares of `times` x `times` pixels, without rescaling its values."""
    height, width = flow.shape[2] // times, flow.shape[3] // times
    fields = [
        cv2.resize(
            np.ascontiguousarray(frame.transpose(1, 2, 0)), (width, height), interpolation=cv2.INTER_AREA
        )
        for frame in flow
    ]
    return np.stack(fields).transpose(0, 3, 1, 2)
