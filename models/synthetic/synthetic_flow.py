"""Flow of a synthetic clip as input of a network: exact, with artificial errors, or estimated from its frames."""

from collections.abc import Callable

import numpy as np

from motion_adapt.models.inputs.imaging import HEIGHT
from motion_adapt.models.synthetic.flow_noise import noisy_flow
from motion_adapt.models.synthetic.synthetic_clip import SyntheticClip, stack_flow

FLOW_KINDS = ("exact", "noisy", "dis", "mixed")
MIXED_SHARES = {"noisy": 0.7, "dis": 0.3}

Estimator = Callable[[np.ndarray, np.ndarray], np.ndarray]


def clip_flow(clip: SyntheticClip, *, kind: str, gap: int, rng: np.random.Generator) -> np.ndarray:
    """Compute the flow of a clip, f32 (T, 4, H, W), in pixels of 128 x 224 whatever its size.

    Args:
        clip: the clip.
        kind: one of `FLOW_KINDS`; "mixed" draws one per clip.
        gap: distance between the frames of a pair.
        rng: source of all random choices.
    """
    larger = np.float32(HEIGHT / clip.owner.shape[1])
    if kind == "mixed":
        kind = str(rng.choice(list(MIXED_SHARES), p=list(MIXED_SHARES.values())))
    if kind == "exact":
        return clip.flow(gap) * larger
    if kind == "noisy":
        return noisy_flow(clip.flow(gap) * larger, rng)
    if kind == "dis":
        from motion_adapt.models.inputs.flow_estimators import flow_estimator

        return estimated_flow(clip.rgb, gap=gap, estimator=flow_estimator("dis")) * larger
    raise ValueError(f"flow: wanted one of {', '.join(FLOW_KINDS)}, got {kind!r}")


def estimated_flow(rgb: np.ndarray, *, gap: int, estimator: Estimator) -> np.ndarray:
    """Estimate the flow of frames.

    Args:
        rgb: u8 (T, H, W, 3).
        gap: distance between the frames of a pair.
        estimator: estimator(first, second) returns (N, H, W, 2).

    Returns:
        f32 (T, 4, H, W).
    """
    frames = len(rgb)
    if not 1 <= gap <= frames // 2:
        raise ValueError(f"gap: wanted 1 to {frames // 2} for a clip of {frames} frames, got {gap}")
    ahead, behind = estimator(rgb[:-gap], rgb[gap:]), estimator(rgb[gap:], rgb[:-gap])
    forward = dict(enumerate(ahead))
    backward = {t + gap: field for t, field in enumerate(behind)}
    return stack_flow(forward, backward, frames)
