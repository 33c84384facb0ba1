"""How well a mask fits its annotation: region J, contour F, and the statistics of a row of them.

The measures of Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation"
(CVPR 2016), as the official DAVIS evaluators compute them; section 4.1 of the paper reports J. Which frames
and which objects count is the business of `models.scoring.protocols`.

A contour is looked at only inside the box of its mask, and a mask that is compared with many others is turned
into its `Contour` once: that is all there is to the speed of this module.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np

BOUND = 0.008  # tolerance of F, as a share of the frame's diagonal
RECALL_ABOVE = 0.5
DECAY_BINS = 4

_BLOCK = np.ones((2, 2), np.uint8)


# ---------------------------------------------------------------------------------------------- region


def region_similarity(truth: np.ndarray, mask: np.ndarray, void: np.ndarray | None = None) -> float:
    """J of two masks (H, W), nonzero being foreground: intersection over union, 1 if both are empty.

    Pixels of `void` (H, W) are left out of both counts. Symmetric in `truth` and `mask`.
    """
    truth, mask = _comparable(truth, mask, void)
    return jaccard(cv2.countNonZero(truth & mask), cv2.countNonZero(truth | mask))


def jaccard(intersection: float, union: float) -> float:
    """Intersection over union of two areas in pixels; two empty masks agree: 1."""
    return float(intersection) / float(union) if union else 1.0


# --------------------------------------------------------------------------------------------- contour


def contour_similarity(truth: np.ndarray, mask: np.ndarray, void: np.ndarray | None = None) -> float:
    """F of two masks (H, W): harmonic mean of precision and recall of their boundaries, within `tolerance`.

    Void pixels are background in both masks, so that the rim of a void area can become boundary. Two masks
    without any boundary (empty, or the whole frame) give 1, one without gives 0.
    """
    truth, mask = _comparable(truth, mask, void)
    radius = tolerance(*truth.shape)
    return contour_f(Contour.of(truth, radius), Contour.of(mask, radius))


def tolerance(height: int, width: int) -> int:
    """The distance in pixels within which a boundary pixel counts as found: 8 at 480 x 854."""
    return math.ceil(BOUND * math.hypot(height, width))


def boundary(mask: np.ndarray) -> np.ndarray:
    """The boundary map u8 (H, W) of a mask of 0 and 1: pixels unlike their right, lower or lower-right one.

    One pixel wide. Beyond the frame the last row and column go on, so that an object has no boundary there.
    """
    # a pixel and these three make a 2 x 2 block: it is a boundary where the block is not all one value
    return cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, _BLOCK, anchor=(0, 0), borderType=cv2.BORDER_REPLICATE)


@dataclass(frozen=True)
class Contour:
    """The boundary of one mask, ready to be matched with others of the same frame size and radius."""

    pixels: np.ndarray  # flat indices of the boundary pixels
    reach: np.ndarray  # u8 (H*W): 1 within `radius` of a boundary pixel

    @classmethod
    def of(cls, mask: np.ndarray, radius: int) -> "Contour":
        """The contour of a mask u8 (H, W) of 0 and 1, its disk of tolerance having `radius` pixels."""
        height, width = mask.shape
        reach = np.zeros((height, width), np.uint8)
        left, top, across, down = cv2.boundingRect(mask)
        top, bottom = max(top - 1, 0), min(top + down + 1, height)
        left, right = max(left - 1, 0), min(left + across + 1, width)
        edges = boundary(mask[top:bottom, left:right])
        rows, columns = np.divmod(np.flatnonzero(edges.view(bool)), right - left)
        pixels = (rows + top) * width + columns + left
        if pixels.size:
            above, before = min(radius, top), min(radius, left)
            below, after = min(radius, height - bottom), min(radius, width - right)
            room = cv2.copyMakeBorder(edges, above, below, before, after, cv2.BORDER_CONSTANT, value=0)
            reach[top - above : bottom + below, left - before : right + after] = cv2.dilate(
                room, _disk(radius)
            )
        return cls(pixels, reach.ravel())

    def found(self, other: "Contour") -> int:
        """How many of this contour's pixels lie within reach of the other one."""
        return int(np.count_nonzero(other.reach[self.pixels]))


def contour_f(truth: Contour, mask: Contour) -> float:
    """F of two contours."""
    if not truth.pixels.size or not mask.pixels.size:
        return float(truth.pixels.size == mask.pixels.size)
    precision = mask.found(truth) / mask.pixels.size
    recall = truth.found(mask) / truth.pixels.size
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@cache
def _disk(radius: int) -> np.ndarray:
    """All pixels with dx^2 + dy^2 <= radius^2; OpenCV's own ellipse is another shape and moves F by 0.1."""
    steps = np.arange(-radius, radius + 1)
    return (steps[:, None] ** 2 + steps**2 <= radius**2).astype(np.uint8)


def _comparable(
    truth: np.ndarray, mask: np.ndarray, void: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Both masks as u8 of 0 and 1, void pixels cleared."""
    for name, array in (("mask", mask), ("void", void)):
        if array is not None and (array.shape != truth.shape or array.ndim != 2):
            raise ValueError(f"{name}: wanted the annotation's (H, W) = {truth.shape}, got {array.shape}")
    first, second = binary(truth), binary(mask)
    if void is None:
        return first, second
    valid = 1 - binary(void)
    return first & valid, second & valid


def binary(mask: np.ndarray) -> np.ndarray:
    """A mask as u8 of 0 and 1, any nonzero value being 1."""
    flags = mask if mask.dtype == bool else mask != 0
    return np.ascontiguousarray(flags).view(np.uint8)


# ------------------------------------------------------------------------------------------ statistics


class Statistics(NamedTuple):
    """Mean, recall and decay of one measure along one clip."""

    mean: float
    recall: float
    decay: float


def statistics(values: np.ndarray) -> Statistics:
    """Statistics of per-frame values (n,), n at least 1; NaN marks a frame that has no value.

    mean: NaN left out. recall: share of the frames strictly above 0.5, where a NaN counts as not above.
    decay: mean of the first quarter less mean of the last (neighbouring quarters share one frame); positive
    is worse.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"values: wanted one number for each of n >= 1 frames, got shape {values.shape}")
    ends = [((len(values) - 1) * k + DECAY_BINS // 2) // DECAY_BINS for k in range(DECAY_BINS + 1)]
    first, last = values[: ends[1] + 1], values[ends[-2] :]
    return Statistics(
        mean=_mean(values),
        recall=float(np.count_nonzero(values > RECALL_ABOVE) / len(values)),
        decay=_mean(first) - _mean(last),
    )


def _mean(values: np.ndarray) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else math.nan
