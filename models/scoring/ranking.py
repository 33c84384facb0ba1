"""Selection AP: does predicted quality rank a clip's good masks before its bad ones (paper, C.1 and Table 3)?

For each object the frames with the highest and those with the lowest IoU, 10 of each, are put in the order of
predicted quality; the score is the average precision of finding the former. A random order reaches 0.568 on
average, the paper's own figure for it.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

MOST = 10  # frames on either side


def selection_ap(quality: NDArray[np.floating], ious: NDArray[np.floating], most: int = MOST) -> float:
    """Average precision in (0, 1] of ranking the best masks of one object first.

    quality: (T,), higher is better; equal values are one place in the ranking, so that their order in time
    counts for nothing. ious: (T,) in [0, 1], NaN for frames that do not count. Of T frames that count, the
    best and the worst n = min(most, T // 2) are ranked, the earlier first where IoUs are equal; n is smaller
    where the worst of the best would be no better than the best of the worst. NaN where n is 0: one frame, or
    masks that are all equally good.
    """
    if quality.ndim != 1 or quality.shape != ious.shape:
        raise ValueError(f"quality, ious: wanted two (T,), got {quality.shape} and {ious.shape}")
    counts = ~np.isnan(ious)
    if np.isnan(quality[counts]).any():
        raise ValueError("quality: wanted a number in every frame that counts, got NaN")
    quality, ious = quality[counts], ious[counts]
    order = np.argsort(-ious, kind="stable")
    n = min(most, len(order) // 2)
    while n and not ious[order[n - 1]] > ious[order[-n]]:
        n -= 1
    if n == 0:
        return float("nan")
    chosen = np.concatenate([order[:n], order[-n:]])
    return average_precision(quality[chosen], np.arange(2 * n) < n)


def average_precision(values: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Mean over the positive entries of the precision down to their place, highest value first.

    values, positive: (n,), at least one positive. Equal values share a place, the last of theirs.
    """
    at_least = values[:, None] <= values  # (n, n): entries that stand at or before each one's place
    found = (at_least & positive).sum(axis=1)
    return float((found / at_least.sum(axis=1))[positive].mean())


def object_aps(
    quality: NDArray[np.floating], ious: NDArray[np.floating], most: int = MOST
) -> NDArray[np.float64]:
    """Selection AP of every object of a clip that has one, (up to N,).

    quality: (T, K). ious: (T, N, K) of every true object with every mask, NaN where both are empty: such a
    frame can be no exemplar and does not count. Each object is judged by the one mask that the assignment of
    greatest mean IoU gives it (two empty masks count 1 there, as in all metrics); with more objects than
    masks some have none and are left out.
    """
    pairs = linear_sum_assignment(np.nan_to_num(ious, nan=1.0).mean(axis=0), maximize=True)
    aps = [selection_ap(quality[:, k], ious[:, n, k], most) for n, k in zip(*pairs, strict=True)]
    return np.array([ap for ap in aps if not np.isnan(ap)], np.float64)


def mask_ious(masks: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """IoU of every true object with every mask of a frame or clip: (..., K, H, W), (..., N, H, W) -> (..., N, K).

    NaN where both are empty.
    """
    m = masks.reshape(*masks.shape[:-2], -1).astype(np.float32)  # (..., K, H * W)
    g = truth.reshape(*truth.shape[:-2], -1).astype(np.float32)  # (..., N, H * W)
    shared = (g @ m.swapaxes(-1, -2)).astype(np.float64)  # (..., N, K), exact up to 2^24 pixels
    areas = g.sum(-1)[..., :, None] + m.sum(-1)[..., None, :]
    union = areas - shared
    return np.where(union > 0, shared / np.maximum(union, 1), np.nan)
