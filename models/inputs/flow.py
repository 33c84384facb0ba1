"""Optical flow of a clip of any length, the only input of the proposals (paper, A.3).

Each frame is read and resized once. The estimators are in models/inputs/flow_estimators.py.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from motion_adapt.models.inputs.flow_estimators import (
    ESTIMATORS,
    FlowEstimator,
    flow_estimator,
    flow_provenance,
)
from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH, resize_flow, resize_frames
from motion_adapt.models.inputs.readable import Readable

__all__ = [
    "ESTIMATORS",
    "FlowEstimator",
    "effective_gap",
    "flow_estimator",
    "flow_provenance",
    "stream_flow",
]


def effective_gap(count: int, gap: int) -> int:
    """Return the gap for a clip of `count` frames: `gap`, or count // 2 if there are fewer than 2 * gap frames.

    Every frame then has a neighbour at that distance on at least one side.

    Raises:
        ValueError: the clip has fewer than two frames, or the gap is less than 1.
    """
    if gap < 1:
        raise ValueError(f"gap: wanted at least 1 frame, got {gap}")
    if count < 2:
        raise ValueError(f"optical flow needs at least two frames, got {count}")
    return gap if count >= 2 * gap else max(count // 2, 1)


def stream_flow(
    frames: Readable,
    *,
    gap: int,
    estimator: FlowEstimator,
    resolution: tuple[int, int] | None = None,
    batch: int = 8,
) -> Iterator[tuple[int, np.ndarray]]:
    """Compute a clip's flow in both directions, chunk by chunk, at the working resolution of the networks.

    Memory does not depend on T.

    Args:
        frames: u8 (T, H', W', 3).
        gap: distance between the two frames of a pair, reduced by `effective_gap` in short clips.
        estimator: the flow estimator.
        resolution: (height, width) at which flow is estimated, or None for that of the frames.
        batch: frames per chunk; each call of the estimator gets their pairs in both directions.

    Yields:
        (start, f32 (n, 4, 128, 224)): u and v from frame i to i + gap, then from i to i - gap, in pixels of 128 x 224.
        If i + gap or i - gap is outside the clip, its flow is the negated flow of the other direction.
    """
    count = frames.shape[0]
    gap = effective_gap(count, gap)
    window = np.empty((0,), np.uint8)
    first, read = 0, 0  # the window holds frames first .. read - 1
    for start in range(0, count, batch):
        stop = min(start + batch, count)
        fresh = _resized(np.asarray(frames[read : min(stop + gap, count)]), resolution)
        window = np.concatenate([window[max(start - gap - first, 0) :], fresh]) if read else fresh
        first, read = max(start - gap, 0), min(stop + gap, count)
        flow = np.empty((stop - start, 2, HEIGHT, WIDTH, 2), np.float32)
        partners = [
            (i, i + step) for step in (gap, -gap) for i in range(start, stop) if 0 <= i + step < count
        ]
        found = estimator.between(window, np.array(partners) - first)
        for (i, j), displacement in zip(partners, found, strict=True):
            flow[i - start, int(j < i)] = resize_flow(displacement[None], HEIGHT, WIDTH)[0]
        for i in range(start, stop):
            if i + gap >= count:
                flow[i - start, 0] = -flow[i - start, 1]
            if i - gap < 0:
                flow[i - start, 1] = -flow[i - start, 0]
        channels = flow.transpose(0, 1, 4, 2, 3)  # (n, 2, 2, H, W)
        yield start, np.ascontiguousarray(channels).reshape(-1, 4, HEIGHT, WIDTH)  # (n, 4, H, W)


def _resized(frames: np.ndarray, resolution: tuple[int, int] | None) -> np.ndarray:
    """Resize frames to the estimator's resolution. They are averaged if they shrink, since aliasing harms flow."""
    if resolution is None or frames.shape[1:3] == resolution or not len(frames):
        return frames if resolution is None else frames.reshape(len(frames), *resolution, 3)
    height, width = resolution
    if height >= frames.shape[1] or width >= frames.shape[2]:
        return resize_frames(frames, height, width)
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames])
