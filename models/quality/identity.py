"""Do objects keep their identity? A mask can be correct in every frame and still belong to another object.

    identity_switches    along a clip: does the flow carry an object's mask into another object's channel?
    same_identities      between two rounds: does channel k still hold the same object?

A changed assignment of channels is accepted only if it raises the sum of IoUs by more than MARGIN, so that noise at
the border of touching objects is not mistaken for a swap.
"""

from typing import NamedTuple

import cv2
import numpy as np

from motion_adapt.models.inputs.readable import Readable
from motion_adapt.models.quality.measures import correspond
from motion_adapt.models.scoring.pairing import best_pairs

# of the sum of IoUs: one mask in another channel gains up to 1, two exchanged masks gain up to 2
MARGIN = 0.5


class Switch(NamedTuple):
    """A change of channels between a frame and the one `gap` later."""

    frame: int  # the later of the two
    channels: tuple[int, ...]  # channels whose objects move, counted from 0


class Identities(NamedTuple):
    """The switches of a clip's objects between channels."""

    switched: float  # share of the frames whose objects are in other channels than in most of the clip
    switches: tuple[Switch, ...]


def identity_switches(masks: Readable, flow: Readable, *, gap: int = 1, chunk: int = 16) -> Identities:
    """Follow the objects of a clip along the flow, from channel to channel.

    A lasting swap in the middle of a clip gives 0.5, a swap for a single frame 1 / T, a clip without masks 0.

    Args:
        masks: bool (T, K, H, W).
        flow: f16 or f32 (T, 4, H, W), see `flow_consistency`.
        gap: gap of the flow in frames.
        chunk: frames that are read at once.
    """
    count, objects, height, width = masks.shape
    if flow.shape != (count, 4, height, width):
        raise ValueError(f"flow: wanted {(count, 4, height, width)} like the masks, got {flow.shape}")
    if gap < 1:
        raise ValueError(f"gap: wanted at least 1 frame, got {gap}")
    places = np.tile(np.arange(objects), (count, 1))  # (T, K): the channel of each object
    switches = []
    for start in range(0, count - gap, chunk):
        stop = min(start + chunk, count - gap)
        some_masks = np.asarray(masks[start : stop + gap])
        some_flow = np.asarray(flow[start : stop + gap], np.float32)
        for t in range(stop - start):
            visible, columns, rows = correspond(some_flow[t, :2], some_flow[t + gap, 2:])
            later = [cv2.remap(mask.astype(np.float32), columns, rows, cv2.INTER_LINEAR) > 0.5
                     for mask in some_masks[t + gap]]  # fmt: skip
            moved = assignment(some_masks[t] & visible, np.stack(later) & visible)
            frame = start + t + gap
            places[frame] = moved[places[frame - gap]]
            if (moved != np.arange(objects)).any():
                away = np.flatnonzero(moved != np.arange(objects))
                switches.append(Switch(frame, tuple(int(k) for k in away)))
    most = np.unique(places, axis=0, return_counts=True)[1].max() if count else 0
    return Identities(1 - float(most) / max(count, 1), tuple(switches))


def same_identities(first: Readable, second: Readable, *, chunk: int = 64) -> float:
    """Return the share of frames in which every channel of `second` holds the same object as in `first`."""
    if first.shape != second.shape:
        raise ValueError(f"masks: wanted two clips of one shape, got {first.shape} and {second.shape}")
    same = 0
    for start in range(0, first.shape[0], chunk):
        pairs = zip(first[start : start + chunk], second[start : start + chunk], strict=True)
        same += sum((assignment(one, other) == np.arange(len(one))).all() for one, other in pairs)
    return float(same / first.shape[0]) if first.shape[0] else 1.0


def assignment(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the channel of `after` that holds each object of `before`, i64 (K,). Both are bool (K, H, W).

    Objects stay in their channel unless another assignment is clearly better.
    """
    one, other = (masks.reshape(len(masks), -1).astype(np.float32) for masks in (before, after))
    shared = one @ other.T  # (K, K)
    union = one.sum(1)[:, None] + other.sum(1)[None] - shared
    iou = shared / np.maximum(union, 1)
    plain = np.arange(len(iou))
    best = best_pairs(iou)[1]
    return best if iou[plain, best].sum() - np.trace(iou) > MARGIN else plain
