"""Compare a mask with its annotation: region similarity J, contour similarity F, and their statistics over a clip.

These are the measures of Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation"
(CVPR 2016), as the official DAVIS evaluators compute them. Section 4.1 of the paper reports J.
`models.scoring.protocols` decides which frames and objects count.

Two things make this module fast: a contour is computed only inside the bounding box of its mask, and a mask that is
compared with many others is converted to a `Contour` only once.
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
    """Compute J of two masks (H, W), whose nonzero pixels are foreground: intersection over union, 1 if both are empty.

    Pixels of `void` (H, W) are left out of both counts. J is symmetric in `truth` and `mask`.
    """
    truth, mask = _comparable(truth, mask, void)
    return jaccard(cv2.countNonZero(truth & mask), cv2.countNonZero(truth | mask))


def jaccard(intersection: float, union: float) -> float:
    """Return the ratio of two areas in pixels, or 1 for two empty masks, which agree."""
    return float(intersection) / float(union) if union else 1.0


# --------------------------------------------------------------------------------------------- contour


def contour_similarity(truth: np.ndarray, mask: np.ndarray, void: np.ndarray | None = None) -> float:
    """Compute F of two masks (H, W): the harmonic mean of precision and recall of their boundaries.

    Boundary pixels match within `tolerance`. Void pixels are background in both masks, so that the edge of a void area
    can become a boundary. F is 1 if neither mask has a boundary (empty, or the whole frame), and 0 if only one has.
    """
    truth, mask = _comparable(truth, mask, void)
    radius = tolerance(*truth.shape)
    return contour_f(Contour.of(truth, radius), Contour.of(mask, radius))


def tolerance(height: int, width: int) -> int:
    """Return the distance in pixels within which a boundary pixel counts as found: 8 at 480 x 854."""
    return math.ceil(BOUND * math.hypot(height, width))


def boundary(mask: np.ndarray) -> np.ndarray:
    """Compute the boundary map u8 (H, W) of a mask of 0 and 1, one pixel wide.

    A boundary pixel differs from its right, lower or lower-right neighbour. The last row and column are repeated beyond
    the frame, so that an object has no boundary at the edge of the frame.
    """
    # a pixel and its three neighbours form a 2 x 2 block; it is a boundary pixel if the block is not constant
    return cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, _BLOCK, anchor=(0, 0), borderType=cv2.BORDER_REPLICATE)


@dataclass(frozen=True)
class Contour:
    """The boundary of a mask, ready to be matched with others of the same frame size and radius."""

    pixels: np.ndarray  # flat indices of the boundary pixels
    reach: np.ndarray  # u8 (H*W): 1 within `radius` of a boundary pixel

    @classmethod
    def of(cls, mask: np.ndarray, radius: int) -> "Contour":
        """Compute the contour of a mask u8 (H, W) of 0 and 1, with a tolerance of `radius` pixels."""
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
        """Return how many of this contour's pixels are within reach of the other one."""
        return int(np.count_nonzero(other.reach[self.pixels]))


def contour_f(truth: Contour, mask: Contour) -> float:
    """Compute F of two contours."""
    if not truth.pixels.size or not mask.pixels.size:
        return float(truth.pixels.size == mask.pixels.size)
    precision = mask.found(truth) / mask.pixels.size
    recall = truth.found(mask) / truth.pixels.size
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@cache
def _disk(radius: int) -> np.ndarray:
    """Return a disk of all pixels with dx^2 + dy^2 <= radius^2. OpenCV's ellipse differs and changes F by 0.1."""
    steps = np.arange(-radius, radius + 1)
    return (steps[:, None] ** 2 + steps**2 <= radius**2).astype(np.uint8)


def _comparable(
    truth: np.ndarray, mask: np.ndarray, void: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return both masks as u8 of 0 and 1, with void pixels cleared."""
    for name, array in (("mask", mask), ("void", void)):
        if array is not None and (array.shape != truth.shape or array.ndim != 2):
            raise ValueError(f"{name}: wanted the annotation's (H, W) = {truth.shape}, got {array.shape}")
    first, second = binary(truth), binary(mask)
    if void is None:
        return first, second
    valid = 1 - binary(void)
    return first & valid, second & valid


def binary(mask: np.ndarray) -> np.ndarray:
    """Return a mask as u8 of 0 and 1; every nonzero value becomes 1."""
    flags = mask if mask.dtype == bool else mask != 0
    return np.ascontiguousarray(flags).view(np.uint8)


# ------------------------------------------------------------------------------------------ statistics


class Statistics(NamedTuple):
    """Mean, recall and decay of one measure along one clip."""

    mean: float
    recall: float
    decay: float


def statistics(values: np.ndarray) -> Statistics:
    """Compute the statistics of per-frame values (n,), n at least 1. NaN marks a frame without a value.

    mean: the mean without NaN.
    recall: the share of frames strictly above 0.5. NaN counts as not above.
    decay: the mean of the first quarter minus that of the last (neighbouring quarters share one frame). Positive values
    mean that scores fall along the clip.
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
