"""Join proposals of a chunk that move as one object, judged by the flow at their borders.

OCLR may split a turning or bending object between two channels. At the border of two real objects, the flow changes as
much as at the border between either of them and the background. Within one object it hardly changes.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

# distance in pixels of 128 x 224 over which a flow change is measured; estimators blur a change over about as many
REACH = 3
LEAST_BORDER = 0.05  # share of an object's outline; a pair with a shorter common border is never joined


def join(masks: NDArray[np.bool_], flow: np.ndarray, contrast: float) -> NDArray[np.bool_]:
    """Join two objects if the flow change between them is less than `contrast` times the change at their outlines.

    The pair with the smallest change is joined first, in the channel of the larger object. The other channel becomes
    empty.

    Args:
        masks: bool (T, K, H, W), disjoint.
        flow: float (T, 4, H, W), of the same frames.
        contrast: 0 or more; 0 joins nothing.

    Returns:
        Masks of the same shape.
    """
    masks = masks.copy()
    if contrast == 0 or np.count_nonzero(masks.any(axis=(0, 2, 3))) < 2:
        return masks
    change, length = borders(masks, flow)
    while pairs := list(candidates(change, length)):
        share, (a, b) = min(pairs)
        if share >= contrast:
            break
        large, small = (a, b) if masks[:, a].sum() >= masks[:, b].sum() else (b, a)
        masks[:, large] |= masks[:, small]
        masks[:, small] = False
        for table in (change, length):  # the borders of the small object become those of the large one
            table[large] += table[small]
            table[:, large] += table[:, small]
            table[small] = table[:, small] = 0
    return masks


def candidates(
    change: NDArray[np.float64], length: NDArray[np.float64]
) -> Iterator[tuple[float, tuple[int, int]]]:
    """Yield pairs of adjacent objects, each with the flow change between them relative to that at their outlines."""
    outline = length[:-1, -1]
    for a, b in combinations(range(len(outline)), 2):
        meet, open_ = length[a, b], min(outline[a], outline[b])
        if open_ and meet > LEAST_BORDER * (meet + open_):
            at_outlines = min(change[a, -1] / outline[a], change[b, -1] / outline[b])
            yield float(change[a, b] / meet / max(at_outlines, 1e-9)), (a, b)


def borders(masks: NDArray[np.bool_], flow: np.ndarray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum up the flow changes between points `REACH` apart, and count these pairs of points.

    Returns:
        The sums and the counts, both f64 (K + 1, K + 1) and symmetric, indexed by the objects at the two points. The
        last index is the background.
    """
    K = masks.shape[1]
    labels = np.where(masks.any(axis=1), masks.argmax(axis=1), K)  # (T, H, W)
    change, length = np.zeros((2, K + 1, K + 1))
    vectors = np.moveaxis(flow, 1, -1).astype(np.float32)  # (T, H, W, 4)
    for axis in (1, 2):
        shown, moves = np.moveaxis(labels, axis, 0), np.moveaxis(vectors, axis, 0)
        step = np.linalg.norm(moves[REACH:] - moves[:-REACH], axis=-1)
        pair = (shown[:-REACH] * (K + 1) + shown[REACH:]).ravel()
        change += np.bincount(pair, step.ravel(), (K + 1) ** 2).reshape(K + 1, K + 1)
        length += np.bincount(pair, minlength=(K + 1) ** 2).reshape(K + 1, K + 1)
    return change + change.T, length + length.T
