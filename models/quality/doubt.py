"""Find the frames of a clip that deserve a look: compute a label-free doubt for every frame, choose the highest.

A frame is doubtful if the stages disagree about it, or if its masks do not fit those of its neighbours along the flow.
The error that the selection predicts is no part of it: on real clips it does not tell good frames from bad ones.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from motion_adapt.models.inputs.readable import Readable, pieces
from motion_adapt.models.quality.measures import correspond

REACH = 10.0  # frames after which the help of a corrected mask has fallen to 1 / e
_CHUNK = 32  # frames read at once


def disagreement(stages: Sequence[Readable]) -> NDArray[np.float64]:
    """Return 1 - IoU of the stages' foregrounds, mean over all pairs of stages, (T,) in [0, 1].

    Args:
        stages: masks of two or more stages, each bool (T, K, H, W). Two empty masks agree.
    """
    found = []
    for parts in pieces(*stages, chunk=_CHUNK):
        fronts = [np.any(part, axis=1).reshape(len(part), -1) for part in parts]
        # Each (n,).
        pairs = [_iou(one, other) for index, one in enumerate(fronts) for other in fronts[index + 1 :]]
        found.append(1 - np.mean(pairs, axis=0))
    return np.concatenate(found)


def inconsistency(masks: Readable, flow: Readable, *, gap: int = 1) -> NDArray[np.float64]:
    """Return 1 - IoU of each frame's foreground with its neighbours' along the flow, (T,) in [0, 1].

    It is the mean over the neighbours at +gap and -gap, over points that are visible in both; 0 without neighbours.

    Args:
        masks: bool (T, K, H, W).
        flow: float (T, 4, H, W), from frame i to i + gap and from i to i - gap, in pixels of H x W.
        gap: the flow's gap in frames.
    """
    count = masks.shape[0]
    total, pairs = np.zeros(count), np.zeros(count)
    for start in range(0, count - gap, _CHUNK):
        stop = min(start + _CHUNK, count - gap)
        fronts = np.any(masks[start : stop + gap], axis=1)
        motion = np.asarray(flow[start : stop + gap], np.float32)  # OpenCV remaps no f16
        for t in range(stop - start):
            visible, columns, rows = correspond(motion[t, :2], motion[t + gap, 2:])
            later = cv2.remap(fronts[t + gap].astype(np.float32), columns, rows, cv2.INTER_LINEAR) > 0.5
            seen = (fronts[t] & visible).reshape(1, -1), (later & visible).reshape(1, -1)
            for index in (start + t, start + t + gap):
                total[index] += 1 - _iou(*seen)[0]
                pairs[index] += 1
    return total / np.maximum(pairs, 1)


def most_doubtful(
    doubt: NDArray[np.float64],
    most: int,
    *,
    without: NDArray[np.bool_] | None = None,
    reach: float = REACH,
) -> list[int]:
    """Return up to `most` frames to look at, the most useful first.

    A right mask helps the frames around it, so each frame counts with the doubt of its surroundings, and every choice
    takes away the doubt around it. Frames without doubt around them are not listed.

    Args:
        doubt: (T,), 0 or more.
        most: the largest number of frames.
        without: bool (T,), frames that are not listed; None means that all may be.
        reach: see `REACH`.
    """
    left = np.array(doubt, np.float64)
    chosen: list[int] = []
    places = np.arange(len(left))
    # beyond 5 reaches a share is below 1 %
    kernel = np.exp(-np.abs(np.arange(-int(5 * reach), int(5 * reach) + 1)) / reach)
    for _ in range(min(most, len(left))):
        gain = np.convolve(left, kernel, mode="full")[len(kernel) // 2 : len(kernel) // 2 + len(left)]
        gain[chosen] = 0
        if without is not None:
            gain[without] = 0
        best = int(gain.argmax())
        if gain[best] <= 0:
            break
        chosen.append(best)
        left *= 1 - np.exp(-np.abs(places - best) / reach)
    return chosen


def _iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compute the IoU (n,) of masks bool (n, pixels); 1 if both are empty."""
    union = (one | other).sum(axis=1)
    return np.where(union > 0, (one & other).sum(axis=1) / np.maximum(union, 1), 1.0)
