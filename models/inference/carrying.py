"""Carry masks that are known to be right along the flow to the frames around them.

A mask by hand is worth more than its own frame. The flow takes it to the next frame, from there to the one after, and
so on in both directions. The confidence in it shrinks with every step, above all at points that the flow loses sight
of; there the probabilities of the frame itself count.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from motion_adapt.models.inputs.readable import Readable
from motion_adapt.models.quality.measures import correspond

# The confidence that a step keeps at points that are visible in both frames, and at the others.
SEEN, LOST = 0.95, 0.5
LEAST = 0.05  # largest confidence of a frame at which carrying ends: about 60 frames away


class Carried:
    """The probabilities of a clip, joined with given masks that are carried along its flow.

    Everything that is carried is kept in memory: up to about 120 frames for each given one.

    Args:
        probabilities: float (T, K, H, W) in [0, 1]; those of given frames are the given masks.
        flow: float (T, 4, H, W), from frame i to i + gap and from i to i - gap, in pixels of H x W.
        given: indices of the given frames.
        gap: the flow's gap in frames.
        apart: bool (T,), the frames to and from which nothing is carried. None means that there are none.
    """

    def __init__(
        self,
        probabilities: Readable,
        flow: Readable,
        given: Sequence[int],
        *,
        gap: int = 1,
        apart: NDArray[np.bool_] | None = None,
    ) -> None:
        self.probabilities, self.shape = probabilities, probabilities.shape
        # by frame: the sum of carried masks times their confidence (K, H, W), that of the confidences, and the product
        # of what they lack, (H, W)
        self._sums: dict[int, list[NDArray[np.float16]]] = {}
        alone = [] if apart is None else np.flatnonzero(apart).tolist()
        self._ends = frozenset([*given, *alone])
        for index in sorted(set(given).difference(alone)):
            for step in (gap, -gap):
                self._carry(flow, index, step)

    def _carry(self, flow: Readable, index: int, step: int) -> None:
        mask = np.asarray(self.probabilities[index : index + 1], np.float32)[0]
        confidence = np.ones(mask.shape[1:], np.float32)
        here, there = (slice(2, 4), slice(0, 2)) if step > 0 else (slice(0, 2), slice(2, 4))
        before = _flow_of(flow, index)
        while 0 <= index + step < self.shape[0] and index + step not in self._ends:
            index += step
            after = _flow_of(flow, index)
            visible, columns, rows = correspond(after[here], before[there])
            mask = np.stack([cv2.remap(part, columns, rows, cv2.INTER_LINEAR) for part in mask])
            kept = np.where(visible, np.float32(SEEN), np.float32(LOST))
            confidence = kept * np.asarray(cv2.remap(confidence, columns, rows, cv2.INTER_LINEAR), np.float32)
            if confidence.max() < LEAST:
                return
            self._add(index, mask, confidence)
            before = after

    def _add(self, index: int, mask: NDArray[np.float32], confidence: NDArray[np.float32]) -> None:
        total, sure, lacking = self._sums.get(index, (0, 0, 1))
        sums = (total + confidence * mask, sure + confidence, lacking * (1 - confidence))
        self._sums[index] = [part.astype(np.float16) for part in sums]

    def __getitem__(self, key: slice) -> NDArray[np.float32]:
        found = np.array(self.probabilities[key], np.float32)
        for place, index in enumerate(range(*key.indices(self.shape[0]))):
            if index in self._sums:
                total, sure, lacking = (part.astype(np.float32) for part in self._sums[index])
                found[place] = (total + lacking * found[place]) / (sure + lacking)
        return found


def _flow_of(flow: Readable, index: int) -> NDArray[np.float32]:
    return np.asarray(flow[index : index + 1], np.float32)[0]  # OpenCV remaps no f16
