"""What OCLR is trained on: flow of synthetic clips with amodal masks, at the size that its UNet works at.

Flow made from exact motion costs little and never repeats. Flow of an estimator costs a hundred times as much, so
it comes from a pool of clips of which each is estimated once and then seen again mirrored, backwards and in parts.
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

GAPS = (1, 1, 1, 2, 3)  # drawn from, so that speeds vary
FINER = 2  # DIS sees sides of twice 128 x 224, as it sees larger ones on real video

TIMES_SEEN = 20  # on average, of a clip with flow of an estimator, in the course of a training
POOL_BYTES = 4 * 10**9  # of memory for them at most
EXAMPLE_BYTES = 4 * 2 + 3  # a pixel of a frame: flow f16, and three masks

Example = tuple[np.ndarray, np.ndarray]


class EstimatedPool:
    """Clips with DIS flow, each made when it is first drawn, at the size of `clips`.

    size: distinct clips, see `pool_size`. They stay in memory; shared: see `models.training.shared_pool.Pool`.
    """

    def __init__(self, clips: SyntheticClips, size: int, *, shared: bool = False) -> None:
        self.clips = clips
        self.pool = Pool(size, self.make, shared=shared)

    def draw(self, rng: np.random.Generator, frames: int) -> Example:
        """`frames` frames of one of the clips: flow f32 (T, 4, H, W), amodal bool (T, K, H, W)."""
        clip = self.pool[int(rng.integers(self.pool.size))]
        start = int(rng.integers(len(clip["flow"]) - frames + 1))
        part = slice(start, start + frames)
        return clip["flow"][part].astype(np.float32), clip["amodal"][part]

    def make(self, number: int) -> Arrays:
        """Clip `number` rendered large, its flow estimated there and brought down: f16 "flow" and "amodal" masks."""
        clip = self.clips.at_size((HEIGHT * FINER, WIDTH * FINER)).make(number)
        gap = min(GAPS[number % len(GAPS)], self.clips.frames // 2)
        flow = estimated_flow(clip.rgb, gap=gap, estimator=flow_estimator("dis")) / FINER
        times = FINER * HEIGHT // self.clips.size[0]
        middle = slice(times // 2, None, times)
        return {"flow": shrink(flow, times).astype(np.float16), "amodal": clip.amodal[..., middle, middle]}


def pool_size(draws: int, frames: int, height: int, width: int) -> int:
    """How many clips of so many frames to make for a training that draws some `draws` times."""
    most = POOL_BYTES // (frames * height * width * EXAMPLE_BYTES)
    return max(1, min(round(draws / TIMES_SEEN), most))


def estimated_share(kind: str) -> float:
    """Of the clips of a training, those whose flow an estimator gives."""
    return {"mixed": 0.4, "dis": 1.0}.get(kind, 0.0)


@dataclass(frozen=True)
class OclrBatches:
    """Synthetic flow f32 (B, T, 4, H, W), in pixels of 128 x 224, with amodal bool (B, T, K, H, W).

    H and W are those of `clips`, at most 128 and 224. kind: of `models.synthetic.synthetic_flow`; "mixed" draws from
    `pool` for a share of the clips.
    """

    clips: SyntheticClips
    batch: int
    kind: str
    pool: EstimatedPool

    def __call__(self, step: int, rng: np.random.Generator) -> Batch:
        """The clips of one step: all of one random length, since OCLR must serve groups of any length."""
        frames = int(rng.integers(max(2, self.clips.frames // 2), self.clips.frames + 1))
        examples = [self.example(step * self.batch + i, rng, frames) for i in range(self.batch)]
        flow, amodal = zip(*examples, strict=True)
        return {"flow": np.stack(flow), "amodal": np.stack(amodal)}

    def example(self, index: int, rng: np.random.Generator, frames: int) -> Example:
        """One clip."""
        if rng.random() < estimated_share(self.kind):
            return mirrored(rng, *self.pool.draw(rng, frames))
        clip = self.clips.make(index, frames=frames, paint=False)
        gap = min(int(rng.choice(GAPS)), frames // 2)
        kind = "noisy" if self.kind == "mixed" else self.kind
        return clip_flow(clip, kind=kind, gap=gap, rng=rng), clip.amodal


def mirrored(rng: np.random.Generator, flow: np.ndarray, amodal: np.ndarray) -> Example:
    """The same clip perhaps left-right, upside down or backwards, with the flow that it then has."""
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
    """Flow f32 (T, 4, H, W) averaged over squares of `times` pixels, its values unchanged."""
    height, width = flow.shape[2] // times, flow.shape[3] // times
    fields = [
        cv2.resize(
            np.ascontiguousarray(frame.transpose(1, 2, 0)), (width, height), interpolation=cv2.INTER_AREA
        )
        for frame in flow
    ]
    return np.stack(fields).transpose(0, 3, 1, 2)
