"""Keep one identity per object along a clip that OCLR processes in chunks.

Within a chunk, the channel identifies an object. On the overlap of two chunks, Hungarian matching of the masks' IoU
decides which channel continues which slot of the clip. The reference matches chunks to the ground truth instead, which
is not available here.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from motion_adapt.models.scoring.pairing import best_pairs


class NewObject(NamedTuple):
    """An object of a chunk that continues none of the earlier objects.

    Attributes:
        slot: its channel in the results.
        frame: first frame of its chunk.
        iou: IoU with the slot's earlier masks on the overlap.
        replaces: whether the slot held another object before.
    """

    slot: int
    frame: int
    iou: float
    replaces: bool


class Links(NamedTuple):
    """The assignment of a chunk's channels to slots.

    Attributes:
        channels: int (K,), the channel that goes into each slot.
        new: the objects that continue no earlier object.
    """

    channels: NDArray[np.int64]
    new: tuple[NewObject, ...]


def link(
    before: NDArray[np.bool_],
    now: NDArray[np.bool_],
    *,
    used: NDArray[np.bool_],
    present: NDArray[np.bool_],
    frame: int,
    floor: float,
) -> Links:
    """Assign the channels of a chunk to the slots of the clip.

    Args:
        before: bool (T, K, H, W), masks of the T overlapping frames by slot. With T = 0 nothing is linked and the
            channels stay in place.
        now: bool (T, K, H, W), masks of the same frames by channel.
        used: bool (K,), slots that have held an object.
        present: bool (K,), channels with a mask anywhere in the chunk.
        frame: first frame of the chunk.
        floor: minimum IoU of a link. An object without a link moves into a slot that was never used, if there is one.
    """
    ious = pairwise_iou(before, now)  # (slots, channels)
    likeness = np.where(ious >= floor, ious, 0)
    slots, channels = best_pairs(likeness)  # slots are 0 ... K - 1
    linked = likeness[slots, channels] > 0
    if len(before):
        # stable sorts: objects before empty channels, unused slots before used ones, else in order
        free = slots[~linked]
        rest = np.sort(channels[~linked])
        channels[free[np.argsort(used[free], kind="stable")]] = rest[
            np.argsort(~present[rest], kind="stable")
        ]
    else:
        channels = slots
    new = tuple(
        NewObject(int(slot), frame, float(ious[slot, channels[slot]]), bool(used[slot]))
        for slot in np.flatnonzero(~linked & present[channels])
    )
    return Links(channels, new)


def pairwise_iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compute the IoU of every object of `first` with every object of `second` over all frames.

    Args:
        first: bool (T, K, H, W).
        second: bool (T, L, H, W).

    Returns:
        f64 (K, L), 0 if both objects are empty.
    """
    a = first.swapaxes(0, 1).reshape(first.shape[1], -1).astype(np.float32)  # (K, T * H * W)
    b = second.swapaxes(0, 1).reshape(second.shape[1], -1).astype(np.float32)  # (L, T * H * W)
    shared = (a @ b.T).astype(np.float64)  # exact: counts below 2^24
    union = a.sum(axis=1, dtype=np.float64)[:, None] + b.sum(axis=1, dtype=np.float64) - shared
    return shared / np.maximum(union, 1)
