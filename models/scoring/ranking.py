"""Selection AP: does predicted quality rank a clip's good masks before its bad ones (paper, C.1 and Table 3)?

For each object, the 10 frames with the highest and the 10 with the lowest IoU are sorted by predicted quality. The
score is the average precision of finding the former. A random order reaches 0.568 on average, as the paper states too.
"""

import numpy as np
from numpy.typing import NDArray

from motion_adapt.models.scoring.pairing import best_pairs

MOST = 10  # frames on either side


def selection_ap(quality: NDArray[np.floating], ious: NDArray[np.floating], most: int = MOST) -> float:
    """Compute the average precision of ranking the best masks of one object first.

    If T frames count, the best and the worst n = min(most, T // 2) of them are ranked; among equal IoUs the earlier
    frame is better. n is reduced if otherwise the worst of the best would be no better than the best of the worst.

    Args:
        quality: (T,), higher is better. Equal values share one rank, so that their order in time has no effect.
        ious: (T,) in [0, 1], NaN for frames that do not count.
        most: maximum number of best and of worst frames.

    Returns:
        A value in (0, 1], or NaN if n is 0: there is only one frame, or all masks are equally good.
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
    """Average, over the positive entries, the precision down to their rank, highest value first.

    Args:
        values: (n,). Equal values share the last of their ranks.
        positive: (n,), at least one is True.
    """
    at_least = values[:, None] <= values  # (n, n): entries ranked at or before each entry
    found = (at_least & positive).sum(axis=1)
    return float((found / at_least.sum(axis=1))[positive].mean())


def object_aps(
    quality: NDArray[np.floating], ious: NDArray[np.floating], most: int = MOST
) -> NDArray[np.float64]:
    """Compute the selection AP of every object of a clip that has one, (up to N,).

    Each object is judged by the mask that the assignment with the highest mean IoU gives it. For this assignment, two
    empty masks count as 1, as in all metrics. If there are more objects than masks, objects without a mask are left
    out.

    Args:
        quality: (T, K).
        ious: (T, N, K) of every true object with every mask. NaN if both are empty: such a frame cannot be an exemplar
            and does not count.
        most: see `selection_ap`.
    """
    pairs = best_pairs(np.nan_to_num(ious, nan=1.0).mean(axis=0))
    aps = [selection_ap(quality[:, k], ious[:, n, k], most) for n, k in zip(*pairs, strict=True)]
    return np.array([ap for ap in aps if not np.isnan(ap)], np.float64)


def mask_ious(masks: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compute the IoU of every true object with every mask of a frame or clip.

    Args:
        masks: bool (..., K, H, W).
        truth: bool (..., N, H, W).

    Returns:
        (..., N, K), NaN if both are empty.
    """
    m = masks.reshape(*masks.shape[:-2], -1).astype(np.float32)  # (..., K, H * W)
    g = truth.reshape(*truth.shape[:-2], -1).astype(np.float32)  # (..., N, H * W)
    shared = (g @ m.swapaxes(-1, -2)).astype(np.float64)  # (..., N, K), exact up to 2^24 pixels
    areas = g.sum(-1)[..., :, None] + m.sum(-1)[..., None, :]
    union = areas - shared
    return np.where(union > 0, shared / np.maximum(union, 1), np.nan)
