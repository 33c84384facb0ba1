"""Smoothing along the flow: average the probabilities of each point over neighbouring frames.

Networks see one frame, or a few, and make different errors in each. Smoothing carries probabilities from frame to frame
along the flow and averages them. Each iteration reaches frames that are one gap further away. The frame's own
probabilities enter every iteration with the same weight, so the result stays close to them.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from motion_adapt.models.inputs.readable import Readable, pieces
from motion_adapt.models.quality.measures import correspond

Item = TypeVar("Item")
_CHUNK = 16  # frames read at once


class _Link(NamedTuple):
    """The positions of a frame's pixels in a neighbour, and whether they are visible there; see `correspond`."""

    visible: NDArray[np.bool_]
    columns: NDArray[np.float32]
    rows: NDArray[np.float32]


class _Frame(NamedTuple):
    """A frame on its way through the iterations; links are None if the clip ends there."""

    given: NDArray[np.float32]  # (K, H, W), the probabilities before the first iteration
    found: NDArray[np.float32]  # (K, H, W), those after the last iteration so far
    fixed: bool  # whether it keeps the former
    earlier: _Link | None
    later: _Link | None


def smooth(
    probabilities: Readable,
    flow: Readable,
    *,
    iterations: int = 10,
    weight: float = 2.0,
    gap: int = 1,
    apart: NDArray[np.bool_] | None = None,
    fixed: NDArray[np.bool_] | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Smooth the probabilities of a clip along its flow.

    An iteration gives every pixel (P0 + weight * sum of its neighbours' P) / (1 + weight * number of neighbours). P0 is
    the probability given; the neighbours are the same point in the frames `gap` before and after, if it can be seen
    there. Iterations follow each other frame by frame: memory grows with `iterations` and `gap`, not with the clip.

    Args:
        probabilities: float (T, K, H, W) in [0, 1].
        flow: float (T, 4, H, W), from frame i to i + gap and from i to i - gap, in pixels of H x W.
        iterations: number of iterations. Frames up to iterations * gap away affect the result.
        weight: weight of a neighbour; the frame's own probabilities have weight 1.
        gap: the flow's gap in frames.
        apart: bool (T,), the frames that keep their probabilities and are neighbours of no other frame. None means
            that there are none.
        fixed: bool (T,), the frames that keep their probabilities and pass them on. None means that there are none.

    Yields:
        f32 (K, H, W) in [0, 1], of every frame in order.

    Raises:
        ValueError: if the shapes differ, or iterations, weight or gap are out of range.
    """
    count, _, height, width = probabilities.shape
    if flow.shape != (count, 4, height, width):
        raise ValueError(f"flow: wanted {(count, 4, height, width)} like the probabilities, got {flow.shape}")
    if iterations < 0 or weight < 0 or gap < 1:
        raise ValueError(
            f"wanted iterations and weight of 0 or more and a gap of 1 or more, got {iterations}, {weight} and {gap}"
        )
    none = np.zeros(count, np.bool_)
    alone, kept = none if apart is None else apart, none if fixed is None else fixed
    frames = _linked(zip(_rows(probabilities, flow), alone, kept, strict=True), gap)
    for _ in range(iterations):
        frames = _iteration(frames, weight, gap)
    return (frame.found for frame in frames)


def _rows(*clips: Readable) -> Iterator[tuple[NDArray[np.float32], ...]]:
    for piece in pieces(*clips, chunk=_CHUNK):
        yield from zip(*(part.astype(np.float32) for part in piece), strict=True)


def _linked(
    frames: Iterable[tuple[tuple[NDArray[np.float32], ...], np.bool_, np.bool_]], gap: int
) -> Iterator[_Frame]:
    for before, ((given, flow), alone, fixed), after in _neighbourhoods(frames, gap):
        earlier = later = None
        if before and not (alone or before[1]):
            earlier = _Link(*correspond(flow[2:], before[0][1][:2]))
        if after and not (alone or after[1]):
            later = _Link(*correspond(flow[:2], after[0][1][2:]))
        yield _Frame(given, given, bool(fixed), earlier, later)


def _iteration(frames: Iterable[_Frame], weight: float, gap: int) -> Iterator[_Frame]:
    for before, frame, after in _neighbourhoods(frames, gap):
        if frame.fixed:
            yield frame
            continue
        total, count = frame.given.copy(), np.ones(frame.given.shape[1:], np.float32)
        for neighbour, link in ((before, frame.earlier), (after, frame.later)):
            if neighbour and link:
                share = weight * link.visible.astype(np.float32)  # (H, W)
                count += share
                for sum_, found in zip(total, neighbour.found, strict=True):
                    sum_ += share * cv2.remap(found, link.columns, link.rows, cv2.INTER_LINEAR)
        yield frame._replace(found=total / count)


def _neighbourhoods(items: Iterable[Item], gap: int) -> Iterator[tuple[Item | None, Item, Item | None]]:
    """Yield every item with those `gap` before and after it, which are None beyond the ends."""
    window: deque[Item] = deque()
    place = 0  # in the window, of the item whose turn it is: `gap`, but at the start
    for item in items:
        window.append(item)
        if place + gap < len(window):
            yield window[place - gap] if place == gap else None, window[place], window[place + gap]
            place = _advance(window, place, gap)
    while place < len(window):
        yield window[place - gap] if place == gap else None, window[place], None
        place = _advance(window, place, gap)


def _advance(window: deque[Item], place: int, gap: int) -> int:
    """Return the place of the next item, and drop the first one if no later item needs it."""
    if place < gap:
        return place + 1
    window.popleft()
    return place
