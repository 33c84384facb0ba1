"""Measure how much moves in a clip apart from the camera: a cheap check of a few frame pairs before a long run.

The proposals see only flow (paper 3.1). If nothing moves, or too little between two frames, they cannot work. The flow
is computed by DIS at the networks' 128 x 224. Camera motion is assumed to be affine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from motion_adapt.models.inputs.flow import effective_gap
from motion_adapt.models.inputs.flow_estimators import flow_estimator
from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH
from motion_adapt.models.inputs.still_frames import shows_motion, without_camera

LEAST_FRAMES = 0.3  # minimum share of pairs with motion for a clip that the method can work with
SLOW = 1.0  # pixels between two frames at the gap; below this, proposals are little better than guesses
LARGEST_GAP = 5


@dataclass(frozen=True)
class Motion:
    """The motion that was measured on some frame pairs of a clip.

    Attributes:
        moving: share of the pairs in which something moves apart from the camera.
        speed: speed that the fastest hundredth of the pixels exceed, in pixels of 128 x 224 per gap; median over pairs.
        gap: distance between the frames of a pair.
    """

    moving: float
    speed: float
    gap: int

    @property
    def hardly_any(self) -> bool:
        """Whether too few frames show motion."""
        return self.moving < LEAST_FRAMES

    @property
    def slow(self) -> bool:
        """Whether the motion is too slow for the gap."""
        return self.speed < SLOW

    @property
    def better_gap(self) -> int:
        """The smallest gap, at most 5, at which the motion would be fast enough; the current gap if it is already."""
        if not self.slow:
            return self.gap
        wanted = self.gap * SLOW / max(self.speed, SLOW * self.gap / LARGEST_GAP)
        return min(int(np.ceil(wanted)), LARGEST_GAP)


def measure_motion(frames: Sequence[np.ndarray], *, gap: int = 1, pairs: int = 8) -> Motion:
    """Measure the motion between frames `gap` apart, on `pairs` pairs spread over the clip.

    Args:
        frames: u8 (128, 224, 3) RGB each.
        gap: distance between the frames of a pair, reduced by `effective_gap` in short clips.
        pairs: maximum number of pairs.

    Raises:
        ValueError: there are fewer than two frames, or they have another size.
    """
    gap = effective_gap(len(frames), gap)
    starts = np.unique(np.linspace(0, len(frames) - 1 - gap, pairs).round().astype(int))
    first = np.stack([frames[start] for start in starts])
    second = np.stack([frames[start + gap] for start in starts])
    if first.shape[1:] != (HEIGHT, WIDTH, 3):
        raise ValueError(f"frames: wanted u8 ({HEIGHT}, {WIDTH}, 3), got {first.shape[1:]}")
    flow = flow_estimator("dis")(first, second)
    speed = np.stack([np.linalg.norm(without_camera(pair), axis=-1) for pair in flow])  # (pairs, H, W)
    grey = [
        [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in side]
        for side in (first, second)
    ]
    before = np.stack([frames[max(start - gap, 0)] for start in starts])
    opposite = [
        back if start >= gap else None
        for back, start in zip(flow_estimator("dis")(first, before), starts, strict=True)
    ]
    moving = [
        shows_motion(flow, here, there, opposite=back)
        for flow, here, there, back in zip(flow, *grey, opposite, strict=True)
    ]
    fastest = np.percentile(speed, 99, axis=(1, 2))
    return Motion(float(np.mean(moving)), float(np.median(fastest)), gap)
