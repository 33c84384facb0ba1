"""Optical flow of a clip, the only thing that the proposals see (paper, A.3).

Between which frames, at which resolution, and from a clip of any length, each frame being read and resized once.
The estimators are in models.flow_estimators.
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
    """The gap of a clip of `count` frames: `gap`, or count // 2 where it has fewer than 2 * gap frames.

    Every frame then has a neighbour at that distance on one side at least. ValueError below two frames.
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
    """Flow of a clip to both sides, chunk by chunk, at the working resolution of the networks.

    frames: u8 (T, H', W', 3). gap: frames between the two of a pair, reduced by `effective_gap` in short
    clips. resolution: (height, width) at which flow is estimated, None for the frames' own. batch: frames per
    chunk, and so pairs per call of the estimator. Yields (start, f32 (n, 4, 128, 224)): u and v from frame i
    to i + gap, then from i to i - gap, in pixels of 128 x 224. A side that leaves the clip is the negated
    other one. Memory does not depend on T.
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
        for side, step in enumerate((gap, -gap)):
            here = np.array([i for i in range(start, stop) if 0 <= i + step < count], dtype=int)
            if here.size:
                found = estimator(window[here - first], window[here + step - first])
                flow[here - start, side] = resize_flow(found, HEIGHT, WIDTH)
        for i in range(start, stop):
            if i + gap >= count:
                flow[i - start, 0] = -flow[i - start, 1]
            if i - gap < 0:
                flow[i - start, 1] = -flow[i - start, 0]
        channels = flow.transpose(0, 1, 4, 2, 3)  # (n, 2, 2, H, W)
        yield start, np.ascontiguousarray(channels).reshape(-1, 4, HEIGHT, WIDTH)  # (n, 4, H, W)


def _resized(frames: np.ndarray, resolution: tuple[int, int] | None) -> np.ndarray:
    """Frames at the estimator's resolution; averaged where they shrink, for flow suffers from aliasing."""
    if resolution is None or frames.shape[1:3] == resolution or not len(frames):
        return frames if resolution is None else frames.reshape(len(frames), *resolution, 3)
    height, width = resolution
    if height >= frames.shape[1] or width >= frames.shape[2]:
        return resize_frames(frames, height, width)
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames])
