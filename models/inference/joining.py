"""Parts that no motion divides are one object: proposals of a chunk, joined by what the flow shows at their borders.

OCLR may give a turning or bending object two channels, here one and there the other. Where two objects really meet, the
flow changes from one to the other as it does from either to what is behind them; within an object it hardly changes.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

# pixels of 128 x 224 across which a change of the flow is taken, since estimators blur it over about so many
REACH = 3
LEAST_BORDER = 0.05  # of an object's outline; two that meet along less are not looked at


def join(masks: NDArray[np.bool_], flow: np.ndarray, contrast: float) -> NDArray[np.bool_]:
    """Join objects between which the flow changes less than `contrast` times what it changes at their outlines.

    masks: bool (T, K, H, W), disjoint. flow: float (T, 4, H, W), of those frames. contrast: 0 or more; 0 joins nothing.
    The pair with the least change goes first, into the channel of the larger of the two; the other becomes empty.
    Returns masks of the same shape.
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
        for table in (change, length):  # the borders of one are the other's now
            table[large] += table[small]
            table[:, large] += table[:, small]
            table[small] = table[:, small] = 0
    return masks


def candidates(
    change: NDArray[np.float64], length: NDArray[np.float64]
) -> Iterator[tuple[float, tuple[int, int]]]:
    """Pairs of objects that meet, and the change of flow between them as a share of that at their outlines."""
    outline = length[:-1, -1]
    for a, b in combinations(range(len(outline)), 2):
        meet, open_ = length[a, b], min(outline[a], outline[b])
        if open_ and meet > LEAST_BORDER * (meet + open_):
            at_outlines = min(change[a, -1] / outline[a], change[b, -1] / outline[b])
            yield float(change[a, b] / meet / max(at_outlines, 1e-9)), (a, b)


def borders(masks: NDArray[np.bool_], flow: np.ndarray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much the flow changes, in all, between points `REACH` apart, and how many such pairs of points there are.

    Both are f64 (K + 1, K + 1), symmetric, by what the two points show: an object, or, last, none.
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
