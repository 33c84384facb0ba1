"""How much moves in a clip beside the camera: a cheap look at a few frame pairs, before hours are spent.

The proposals see nothing but flow (paper 3.1): where nothing moves, or too little between two frames, they have
nothing to go on. Flow is DIS at the networks' 128 x 224; the camera's part of it is taken to be affine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from motion_adapt.models.inputs.flow import effective_gap
from motion_adapt.models.inputs.flow_estimators import flow_estimator
from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH

MOVES = 0.5  # pixels of 128 x 224 beside the camera's motion: below, flow itself is no surer
LEAST_SHARE = 0.005  # of the pixels that move, for a frame in which something does
LEAST_FRAMES = 0.3  # of the frames in which something moves, for a clip that the method can work with
SLOW = 1.0  # pixels from frame to frame at the gap; below, proposals are little better than guesses
LARGEST_GAP = 5


@dataclass(frozen=True)
class Motion:
    """What was measured on some frame pairs of a clip."""

    moving: float  # share of the pairs in which something moves beside the camera
    speed: (
        float  # of the fastest hundredth of the pixels, in pixels of 128 x 224 a gap; median over the pairs
    )
    gap: int

    @property
    def hardly_any(self) -> bool:
        """Whether too few frames show motion."""
        return self.moving < LEAST_FRAMES

    @property
    def slow(self) -> bool:
        """Whether what moves does so too slowly for the gap."""
        return self.speed < SLOW

    @property
    def better_gap(self) -> int:
        """The smallest gap at which the motion would be fast enough, at most 5; the gap itself where it is."""
        if not self.slow:
            return self.gap
        wanted = self.gap * SLOW / max(self.speed, SLOW * self.gap / LARGEST_GAP)
        return min(int(np.ceil(wanted)), LARGEST_GAP)


def measure_motion(frames: Sequence[np.ndarray], *, gap: int = 1, pairs: int = 8) -> Motion:
    """Motion between frames `gap` apart, on `pairs` pairs spread over the clip.

    frames: u8 (128, 224, 3) RGB each. Raises ValueError below two frames or for another size.
    """
    gap = effective_gap(len(frames), gap)
    starts = np.unique(np.linspace(0, len(frames) - 1 - gap, pairs).round().astype(int))
    first = np.stack([frames[start] for start in starts])
    second = np.stack([frames[start + gap] for start in starts])
    if first.shape[1:] != (HEIGHT, WIDTH, 3):
        raise ValueError(f"frames: wanted u8 ({HEIGHT}, {WIDTH}, 3), got {first.shape[1:]}")
    flow = flow_estimator("dis")(first, second)
    speed = np.stack([np.linalg.norm(beside_camera(pair), axis=-1) for pair in flow])  # (pairs, H, W)
    moving = (speed > MOVES).mean(axis=(1, 2)) >= LEAST_SHARE
    fastest = np.percentile(speed, 99, axis=(1, 2))
    return Motion(float(moving.mean()), float(np.median(fastest)), gap)


def beside_camera(flow: np.ndarray) -> np.ndarray:
    """What is left of f32 (H, W, 2) flow once the affine motion of the most of it is taken away, f64 (H, W, 2).

    Least squares on every fourth row and column, twice more on the half that fits best: objects that cover less
    than half do not bend the fit.
    """
    height, width, _ = flow.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    places = np.stack([np.ones_like(x), x, y], axis=-1)  # (H, W, 3)
    design = places[::4, ::4].reshape(-1, 3)  # (n, 3)
    target = flow[::4, ::4].reshape(-1, 2).astype(np.float64)  # (n, 2)
    kept = np.ones(len(design), bool)
    for _ in range(3):
        affine = np.linalg.lstsq(design[kept], target[kept], rcond=None)[0]  # (3, 2)
        distance = np.linalg.norm(target - design @ affine, axis=1)
        kept = distance <= np.median(distance)
    return np.asarray(flow - places @ affine)  # (H, W, 2)
