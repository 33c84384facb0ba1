"""Motion of synthetic layers: smooth random homographies over time, with intervals of rest."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Motion:
    """Typical change per frame: translation in pixels, rotation in radians, log-scale, shear, perspective."""

    translation: float
    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    perspective: float = 0.0


def smooth_noise(rng: np.random.Generator, frames: int, reach: float, channels: int) -> np.ndarray:
    """Draw Gaussian noise of unit variance, correlated over about `reach` frames, (frames, channels)."""
    half = int(np.ceil(3 * reach))
    taps = np.exp(-0.5 * (np.arange(-half, half + 1) / reach) ** 2)
    taps /= np.sqrt((taps**2).sum())
    white = rng.standard_normal((frames + 2 * half, channels))
    return np.stack([np.convolve(white[:, c], taps, mode="valid") for c in range(channels)], axis=1)


def activity(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Draw the activity of a layer, (frames,): 1 while it moves, 0 during an interval of rest, with soft ends."""
    times = np.arange(frames)
    start, length = rng.uniform(-0.2, 0.9) * frames, rng.uniform(0.2, 0.6) * frames
    inside = np.minimum(times - start, start + length - times)
    return 1.0 - np.clip(inside / 2.0 + 0.5, 0.0, 1.0)


def random_path(rng: np.random.Generator, frames: int, motion: Motion, *, rests: bool) -> np.ndarray:
    """Draw homographies (frames, 3, 3) around the origin, equal to the identity at one random frame.

    The velocity of every parameter is a constant drift plus smooth noise. `rests` inserts an interval of rest.
    """
    steady, reach = rng.uniform(0.2, 0.9), rng.uniform(1.5, 10.0)
    drift = rng.standard_normal(8) * steady
    swing = smooth_noise(rng, frames, reach, 8) * (1.0 - steady)
    velocity = drift + swing  # (T, 8)
    if rests:
        velocity *= activity(rng, frames)[:, None]
    position = np.cumsum(velocity, axis=0)
    position -= position[rng.integers(frames)]
    return homographies(position, motion)


def homographies(parameters: np.ndarray, motion: Motion) -> np.ndarray:
    """Convert parameters (T, 8), in units of `motion`, to homographies (T, 3, 3).

    The parameters are shift x and y, rotation, scale, stretch, shear, perspective x and y.
    """
    tx, ty = (motion.translation * parameters[:, i] for i in (0, 1))
    angle = motion.rotation * parameters[:, 2]
    grow = np.exp(np.clip(motion.scale * parameters[:, 3], -0.8, 0.8))
    stretch = np.exp(np.clip(motion.shear * parameters[:, 4], -0.3, 0.3))
    shear = np.clip(motion.shear * parameters[:, 5], -0.4, 0.4)
    px, py = (np.clip(motion.perspective * parameters[:, i], -1e-3, 1e-3) for i in (6, 7))
    one, zero = np.ones_like(tx), np.zeros_like(tx)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = matrices([cos, -sin, zero, sin, cos, zero, zero, zero, one])
    form = matrices([grow * stretch, grow * shear, zero, zero, grow / stretch, zero, zero, zero, one])
    tilt = matrices([one, zero, zero, zero, one, zero, px, py, one])
    return translations(tx, ty) @ tilt @ turn @ form


def matrices(entries: list[np.ndarray]) -> np.ndarray:
    """Combine nine series of T numbers, row by row, to matrices (T, 3, 3)."""
    return np.stack(entries, axis=1).reshape(-1, 3, 3)  # (T, 3, 3)


def translations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return shifts by (x, y), each (T,), as homographies (T, 3, 3)."""
    one, zero = np.ones_like(x), np.zeros_like(x)
    return matrices([one, zero, x, zero, one, y, zero, zero, one])


def translation(x: float, y: float) -> np.ndarray:
    """Return a shift by (x, y) as a homography (3, 3)."""
    return translations(np.array([x]), np.array([y]))[0]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number between low and high, uniform in its logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
