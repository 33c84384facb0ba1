"""Add the typical errors of flow estimators to exact flow, so that OCLR learns from realistic flow.

Estimators bleed across object boundaries, blur thin parts, drift smoothly, and fail in patches (no texture,
occlusion, reflections). The strength of every effect is drawn once per clip, its pattern separately for each frame.
"""

import cv2
import numpy as np

from motion_adapt.models.inputs.imaging import HEIGHT
from motion_adapt.models.synthetic.textures import smooth_field
from motion_adapt.models.synthetic.trajectories import log_uniform, smooth_noise


def noisy_flow(flow: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add estimator-like errors to exact flow f32 (T, 4, H, W) in pixels of 128 x 224."""
    scale = flow.shape[2] / HEIGHT
    bleed = rng.uniform(0.0, 3.5) * scale
    blur = max(0.0, rng.normal(1.0, 1.0)) * scale
    drift = log_uniform(rng, 0.01, 0.1)
    jitter = log_uniform(rng, 0.02, 0.25)
    noisy = np.empty_like(flow)
    for t, frame in enumerate(flow):
        for pair in (slice(0, 2), slice(2, 4)):
            field = np.ascontiguousarray(frame[pair].transpose(1, 2, 0))
            field = bleed_edges(rng, field, bleed)
            if blur > 0.3:
                field = cv2.GaussianBlur(field, (0, 0), blur)
            field = drift_smoothly(rng, field, drift, jitter)
            noisy[t, pair] = field.transpose(2, 0, 1)
    return fail_in_patches(rng, noisy)


def bleed_edges(rng: np.random.Generator, field: np.ndarray, reach: float) -> np.ndarray:
    """Shift motion boundaries by up to about `reach` pixels, in directions that vary along them."""
    h, w = field.shape[:2]
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    shift = smooth_field(rng, h, w, 14, 2) * np.float32(reach / 2)
    return cv2.remap(
        field, x + shift[..., 0], y + shift[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def drift_smoothly(rng: np.random.Generator, field: np.ndarray, share: float, pixels: float) -> np.ndarray:
    """Add smooth errors: a share of the local speed, plus some pixels."""
    h, w = field.shape[:2]
    speed = np.hypot(field[..., 0], field[..., 1])[..., None]
    coarse, fine = smooth_field(rng, h, w, 5, 2), smooth_field(rng, h, w, 20, 2)
    return field + coarse * (share * speed + np.float32(0.5 * pixels)) + fine * np.float32(0.3 * pixels)


def fail_in_patches(rng: np.random.Generator, flow: np.ndarray) -> np.ndarray:
    """Replace a few soft patches, each for some frames, by zero, smeared or wild motion."""
    frames, _, h, w = flow.shape
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    for _ in range(rng.poisson(1.0)):
        start, stop = np.sort(rng.integers(0, frames + 1, 2))
        centre, size = rng.uniform(0, 1, 2) * (h, w), log_uniform(rng, 0.08, 0.35) * h
        path = centre + np.cumsum(smooth_noise(rng, frames, 3.0, 2), axis=0)
        edge = smooth_field(rng, h, w, 10)[..., 0] * 0.3
        kind = rng.choice(["still", "smeared", "wild"])
        for t in range(start, stop):
            distance = np.hypot(y - path[t, 0], x - path[t, 1]).astype(np.float32) / np.float32(size)
            weight = np.clip((1.0 + edge - distance) * 3.0, 0.0, 1.0)
            wild = rng.normal(0, 4.0, 4).astype(np.float32)  # drawn for each frame: no object moves like this
            flow[t] += weight * (replacement(kind, flow[t], wild, size) - flow[t])
    return flow


def replacement(kind: str, flow: np.ndarray, wild: np.ndarray, size: float) -> np.ndarray:
    """Return the wrong flow (4, H, W) of a failed patch."""
    if kind == "still":
        return np.zeros_like(flow)
    if kind == "wild":
        return flow + wild[:, None, None]
    smeared = cv2.blur(np.ascontiguousarray(flow.transpose(1, 2, 0)), (2 * int(size) + 1,) * 2)
    return smeared.transpose(2, 0, 1)
