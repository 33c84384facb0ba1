"""Dense CRF: align masks of the working resolution with the edges of the native frame (paper, section 4.2).

It follows Kraehenbuehl and Koltun, "Efficient Inference in Fully Connected CRFs" (NeurIPS 2011). The background and all
objects are refined together, so that masks stay disjoint. The CRF is optional in the paper and the last step of a run.
Its masks are never used as pseudo-labels.
"""

from importlib.util import find_spec

import cv2
import numpy as np


class CrfMissing(ValueError):
    """The package that the CRF needs is not installed."""


def require_crf() -> None:
    """Check that the CRF can run.

    Raises:
        CrfMissing: pydensecrf2 is not installed.
    """
    if find_spec("pydensecrf") is None:
        raise CrfMissing(
            "crf.enabled needs the package pydensecrf2, which is not installed. It does not build for Python 3.13: use "
            "Python 3.11 or 3.12, or leave crf.enabled at false"
        )


def refine_masks(
    frame: np.ndarray,
    probabilities: np.ndarray,
    *,
    iterations: int = 5,
    near: float = 3.0,
    near_weight: float = 1.0,
    far: float = 30.0,
    colour: float = 5.0,
    colour_weight: float = 4.0,
    floor: float = 0.02,
) -> np.ndarray:
    """Refine the masks of one native frame. The result is deterministic.

    The background's probability is one minus that of the best object. With zero iterations, a pixel would therefore go
    to its best object if that exceeds 0.5, as everywhere else.

    Args:
        frame: u8 (H', W', 3) RGB.
        probabilities: f32 (K, h, w) in [0, 1] of any size, each channel from its own sigmoid. Bool masks count as 0
            and 1.
        iterations: mean-field iterations.
        near: spread of the smoothness term in pixels.
        near_weight: weight of the smoothness term.
        far: spread of the appearance term in pixels.
        colour: spread of the appearance term in 8-bit colour values.
        colour_weight: weight of the appearance term.
        floor: minimum probability of every label. It limits how far the network's certainty outweighs the frame.

    Returns:
        Labels u8 (H', W'): 0 is the background, k + 1 is object k.

    Raises:
        ValueError: an array has another shape, or a probability is outside [0, 1].
        CrfMissing: pydensecrf2 is not installed.
    """
    require_crf()
    from pydensecrf.densecrf import DenseCRF2D  # here, since no other part of a run needs it

    if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"frame: wanted u8 (H, W, 3), got {frame.dtype} {frame.shape}")
    if probabilities.ndim != 3 or not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError(f"probabilities: wanted (K, h, w) within [0, 1], got {_describe(probabilities)}")
    if not 0 < floor < 0.5:
        raise ValueError(f"floor: wanted a probability between 0 and 0.5, got {floor}")
    height, width = frame.shape[:2]
    objects = [k for k, channel in enumerate(probabilities) if channel.max(initial=0) > floor]
    if not objects:
        return np.zeros((height, width), np.uint8)
    chances = _label_chances(probabilities[objects], height, width, floor)  # (labels, H', W')
    field = DenseCRF2D(width, height, len(chances))
    field.setUnaryEnergy(-np.log(chances).reshape(len(chances), -1))  # (labels, H'*W')
    field.addPairwiseGaussian(sxy=near, compat=near_weight)
    field.addPairwiseBilateral(sxy=far, srgb=colour, rgbim=np.ascontiguousarray(frame), compat=colour_weight)
    best = np.asarray(field.inference(iterations)).argmax(axis=0).reshape(height, width)  # (H', W')
    return np.array([0, *(k + 1 for k in objects)], np.uint8)[best]


def _label_chances(probabilities: np.ndarray, height: int, width: int, floor: float) -> np.ndarray:
    """Return probabilities f32 (1 + K, height, width) of the background and each object, none below `floor`."""
    chances = np.empty((1 + len(probabilities), height, width), np.float32)
    for k, channel in enumerate(probabilities):
        chances[1 + k] = cv2.resize(
            channel.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR
        )
    chances[0] = 1 - chances[1:].max(axis=0)
    return np.maximum(chances / chances.sum(axis=0), floor)


def _describe(array: np.ndarray) -> str:
    if not array.size:
        return f"shape {array.shape}"
    return f"shape {array.shape} with values from {array.min():g} to {array.max():g}"
