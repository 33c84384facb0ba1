"""Masks of the frames between those that have some, carried along the optical flow from both sides.

A clip that was thinned out has a mask in every N-th frame. The flow from a frame in between to the last frame with a
mask before it and to the next one after it says which label each of its pixels has there.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from motion_adapt.models.inputs.imaging import resize_flow
from motion_adapt.models.quality.measures import correspond

LONG_SIDE = 480  # pixels of the longer side at which flow is estimated
# Distances to outlines are cut at so many pixels of that size, so that no far mask outweighs a near one.
REACH = 8.0
UNSEEN = 0.01  # weight of a side on which a pixel is hidden, compared with one on which it is seen

Flow = Callable[[np.ndarray, np.ndarray], np.ndarray]  # an estimator of models.inputs.flow_estimators


class _Given(NamedTuple):
    """A frame that has a label map."""

    small: NDArray[np.uint8]  # (h, w, 3), at which flow is estimated
    labels: NDArray[np.uint8]  # (H', W')


def fill_between(
    frames: Iterable[NDArray[np.uint8]], labels: Iterable[NDArray[np.uint8]], *, step: int, estimator: Flow
) -> Iterator[NDArray[np.uint8]]:
    """Give every frame of a clip a label map, from those of every `step`-th frame.

    A frame that has a label map keeps it. For a pixel of another one, each object's signed distances to its outline in
    the frames before and after are averaged, in the places to which the flow leads. The weights are the nearness in
    time, and how well forward and backward flow agree there. The pixel gets the object that it is deepest inside of, or
    none. If the flow agrees on neither side, the nearer frame has the larger weight. An object that only one of the two
    frames has is there in the half that is nearer to it.

    Memory grows with `step`, not with the clip.

    Args:
        frames: u8 (H', W', 3) RGB, all frames of the clip in order; the last one has a label map.
        labels: u8 (H', W') of frames 0, step, 2 * step and so on; 0 is background.
        step: distance of two frames with a label map.
        estimator: the flow estimator.

    Yields:
        u8 (H', W') of every frame, in order.

    Raises:
        ValueError: if `step` is less than 1, sizes differ, or the numbers of frames and label maps don't fit.
    """
    if step < 1:
        raise ValueError(f"step: wanted 1 or more, got {step}")
    maps = iter(labels)
    before: _Given | None = None
    between: list[NDArray[np.uint8]] = []  # frames after it, shrunk
    for index, frame in enumerate(frames):
        small = _shrunk(frame)
        if index % step:
            between.append(small)
            continue
        found = next(maps, None)
        if found is None:
            raise ValueError(f"labels: wanted one for frame {index}, got {index // step} in all")
        if found.shape != frame.shape[:2]:
            raise ValueError(f"labels: wanted {frame.shape[:2]} as frame {index}, got {found.shape}")
        after = _Given(small, found)
        if before:
            yield from _carried(before, between, after, estimator)
        yield found
        before, between = after, []
    if between or next(maps, None) is not None:
        raise ValueError("frames: wanted the last one to be the last with a label map")


def _carried(
    before: _Given, between: list[NDArray[np.uint8]], after: _Given, estimator: Flow
) -> Iterator[NDArray[np.uint8]]:
    """Yield the label maps of the frames between two frames."""
    objects = np.setdiff1d(np.union1d(before.labels, after.labels), [0])
    shape = before.labels.shape
    if not objects.size or not between:
        yield from (np.zeros(shape, np.uint8) for _ in between)
        return
    names = np.concatenate([[0], objects]).astype(np.uint8)
    sides = [_Side(given, objects, between, estimator) for given in (before, after)]
    for index in range(len(between)):
        total = np.zeros((len(objects), *shape), np.float32)
        nearness = 1 - (index + 1) / (len(between) + 1)
        for side, near in zip(sides, (nearness, 1 - nearness), strict=True):
            side.add(total, index, near)
        nearer = sides[0] if nearness >= 0.5 else sides[1]
        total[[distance is None for distance in nearer.distances]] = 0
        yield names[np.where(total.max(axis=0) > 0, total.argmax(axis=0) + 1, 0)]


class _Side:
    """A frame with a label map, seen from the frames in between."""

    def __init__(
        self, given: _Given, objects: np.ndarray, between: list[NDArray[np.uint8]], estimator: Flow
    ) -> None:
        middle = np.stack(between)  # (n, h, w, 3)
        there = np.stack([given.small] * len(between))
        self.shape = given.labels.shape
        self.onward, self.back = estimator(middle, there), estimator(there, middle)  # (n, h, w, 2)
        reach = REACH * max(self.shape) / max(given.small.shape)
        masks = [given.labels == label for label in objects]
        self.distances = [_distance(mask, reach) if mask.any() else None for mask in masks]
        self.grid = np.mgrid[: self.shape[0], : self.shape[1]].astype(np.float32)

    def add(self, total: NDArray[np.float32], index: int, near: float) -> None:
        """Add the distances, weighted, to `total`, f32 (objects, H', W'), for one of the frames in between."""
        height, width = self.shape
        visible = correspond(*(part[index].transpose(2, 0, 1) for part in (self.onward, self.back)))[0]
        weight = cv2.resize(np.where(visible, near, UNSEEN * near).astype(np.float32), (width, height))
        u, v = resize_flow(self.onward[index : index + 1], height, width)[0].transpose(2, 0, 1)
        columns, rows = self.grid[1] + u, self.grid[0] + v
        for sum_, distance in zip(total, self.distances, strict=True):
            if distance is not None:
                moved = cv2.remap(distance, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                sum_ += weight * moved


def _distance(inside: NDArray[np.bool_], reach: float) -> NDArray[np.float32]:
    """Return every pixel's distance to the outline of a mask, f32 (H', W'): positive inside, `reach` at most."""
    within, outside = (
        cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        for part in (inside, ~inside)
    )
    signed = np.where(inside, within - 0.5, 0.5 - outside)
    return np.clip(signed, -reach, reach).astype(np.float32)


def _shrunk(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a frame whose longer side has `LONG_SIDE` pixels, or fewer if it had fewer."""
    scale = LONG_SIDE / max(frame.shape)
    if scale >= 1:
        return frame
    height, width = (max(1, round(side * scale)) for side in frame.shape[:2])
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
