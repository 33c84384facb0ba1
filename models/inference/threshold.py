"""Threshold: the probability above which a pixel of a clip shows an object.

The masks of one clip are too narrow in all its frames, those of another too wide: networks are more or less sure of an
object, whatever its shape. No threshold suits all clips, but each clip shows its own: the one whose masks end where
colour or motion changes, and fit each other along the flow. How well they do also tells which of two rounds, or of
two flows, has the better masks of a clip.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from motion_adapt.models.inference.edges import NeighbourPairs, follow_edges, neighbour_pairs
from motion_adapt.models.inputs.readable import Readable, spread
from motion_adapt.models.quality.measures import correspond

THRESHOLDS = (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65)  # the first is taken unless another fits better
CONSISTENCY = 0.1  # weight of the consistency, which large masks have more of; the contrast's is 1
CAUTION = 0.02  # fit that a threshold must bring, times the square of its log odds
LEAST_AREA = 0.9  # of the foreground that a threshold must leave
MOST_FRAMES = 12  # of a clip that are looked at
_DISTANCES = (1, 2)  # between the two sides of a border, in pixels


class Choice(NamedTuple):
    """A threshold, and how well the masks that it gives fit the clip: `fit` in [0, 1 + CONSISTENCY], higher is better.

    `fit` is None if no frame shows a border. `followed` has the frames whose edges were followed to choose it, by
    index, f32 (K, H, W) in [0, 1]: `follow_edges` need not do it again.
    """

    threshold: float
    fit: float | None
    followed: dict[int, NDArray[np.float32]]


def choose_threshold(
    rgb: Readable,
    flow: Readable,
    probabilities: Readable,
    *,
    gap: int = 1,
    fixed: NDArray[np.bool_] | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    colour: float = 0.04,
    motion: float = 0.7,
    **how: float,
) -> Choice:
    """Choose the threshold of a clip after its edges are followed.

    It is the t with the largest fit - `CAUTION` * log(t / (1 - t))^2, where fit = contrast + `CONSISTENCY` *
    consistency.

    - The contrast of a connected part is the mean of 1 - a over the pairs of pixels on either side of its border, with
      the a of `follow_edges_of_frame`. A frame's is the mean over its parts, weighted by their areas, so that specks
      count little; a part that t loses has a contrast of 0, and so has a frame without any. The clip's is the mean over
      its frames.
    - The consistency is the IoU of the foreground with that of the frame `gap` after, carried back along the flow, over
      the points that both frames show.

    A t that leaves less than `LEAST_AREA` of the foreground is not chosen: the surest parts of an object often have the
    sharpest borders.

    Args:
        rgb: u8 (T, H, W, 3).
        flow: as for `follow_edges`, and so are `probabilities`, `gap` and `how`.
        fixed: bool (T,), frames that are not looked at. None means that there are none.
        thresholds: to choose from, in (0, 1). The others are compared with the first.
        colour: spread of colours, as for `follow_edges_of_frame`.
        motion: spread of the flow in pixels per frame, as for `follow_edges_of_frame`.

    Returns:
        The threshold and its fit, over up to `MOST_FRAMES` frames that are spread over the clip, each with the one
        that it is compared with; the first threshold if it finds nothing there.
    """
    tallies, spreads = [_Tally() for _ in thresholds], {"colour": colour, "motion": motion}
    followed: dict[int, NDArray[np.float32]] = {}
    for both in pairs_looked_at(rgb.shape[0], gap, fixed):
        frames, moves = rgb[both], np.asarray(flow[both], np.float32)
        known = {place: followed[index] for place, index in enumerate(both) if index in followed}
        found = follow_edges(
            frames, moves, probabilities[both], gap=gap, fixed=None, known=known, **spreads, **how
        )
        followed.update(zip(both, found, strict=True))
        here, after = (followed[index].max(axis=0) for index in both)
        pairs = list(neighbour_pairs(frames[0], moves[0, :2] / gap, _DISTANCES, **spreads))
        visible, columns, rows = correspond(moves[0, :2], moves[1, 2:])
        after = cv2.remap(after, columns, rows, cv2.INTER_LINEAR)
        _, parts = cv2.connectedComponents((here > thresholds[0]).astype(np.uint8))
        for tally, threshold in zip(tallies, thresholds, strict=True):
            tally.add(here > threshold, after > threshold, visible, parts, pairs)
    if not tallies[0].area:
        return Choice(thresholds[0], None, followed)
    odds = np.log(np.divide(thresholds, np.subtract(1, thresholds)))
    left = np.array([tally.area for tally in tallies]) >= LEAST_AREA * tallies[0].area
    fits = np.array([tally.fit for tally in tallies])
    best = int(np.argmax(np.where(left, fits - CAUTION * odds**2, -np.inf)))
    return Choice(thresholds[best], float(fits[best]), followed)


def pairs_looked_at(count: int, gap: int, fixed: NDArray[np.bool_] | None = None) -> list[list[int]]:
    """Return the frames of a clip that `choose_threshold` looks at, each with the one `gap` after it."""
    free = np.ones(count, np.bool_) if fixed is None else ~fixed
    first = np.flatnonzero(free[:-gap] & free[gap:])
    return [[start, start + gap] for start in first[spread(len(first), MOST_FRAMES)].tolist()]


class _Tally:
    """Area, contrast and agreement of the masks of one threshold, summed over the frames."""

    def __init__(self) -> None:
        self.frames = 0
        self.area = self.contrast = self.shared = self.union = 0.0

    @property
    def fit(self) -> float:
        """Contrast of the borders, and consistency along the flow."""
        return self.contrast / max(self.frames, 1) + CONSISTENCY * self.shared / max(self.union, 1)

    def add(
        self,
        mask: NDArray[np.bool_],
        after: NDArray[np.bool_],
        visible: NDArray[np.bool_],
        parts: NDArray[np.integer],
        pairs: list[NeighbourPairs],
    ) -> None:
        """Add a frame: its mask, the next one carried back, the points that both show, and numbered parts to keep."""
        lost = np.count_nonzero(~np.isin(parts, [0, *np.unique(parts[mask])]))
        count, left = cv2.connectedComponents(mask.astype(np.uint8))
        contrast, borders = np.zeros(count), np.zeros(count)
        for first, second, alike in pairs:
            apart = mask[first] != mask[second]
            whose = np.maximum(left[first], left[second])[apart]  # the other side's is 0
            contrast += np.bincount(whose, 1 - alike[apart], count)
            borders += np.bincount(whose, minlength=count)
        areas = np.bincount(left[mask], minlength=count)
        of_parts = contrast / np.maximum(borders, 1)
        self.contrast += float((areas * of_parts).sum()) / max(areas.sum() + lost, 1)
        self.frames += 1
        self.area += np.count_nonzero(mask)
        self.shared += np.count_nonzero(mask & after & visible)
        self.union += np.count_nonzero((mask | after) & visible)


def with_threshold(probabilities: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """Multiply the odds of probabilities so that `threshold`, in (0, 1), becomes 0.5; 0 and 1 stay."""
    yes, no = probabilities * np.float32(1 - threshold), (1 - probabilities) * np.float32(threshold)
    return np.asarray(yes / (yes + no), np.float32)
