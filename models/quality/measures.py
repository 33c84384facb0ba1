"""Label-free quality measures of a clip's masks, by which rounds are compared.

    flow_consistency             overlap of neighbouring masks after one is carried along the flow
    agreement                    overlap of two mask clips: proposals and corrections, or this round and the one before
    empty, empty_frames          share of the objects' masks, and of the frames, that are empty
    coverage                     share of the pixels that are foreground
    exemplar_error, frame_error  error predicted by the selector (eq. 3) or another judge, for exemplars and all frames
    quality                      one figure that combines them, to list the worst clips first

None of them measures accuracy: a static, wrong mask can be consistent. `models.quality.gate` judges them together.
Mask clips are bool (T, K, H, W) arrays, or readers that slice like one, and are read chunk by chunk. A measure without
any data is None, never NaN, and is left out of averages.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import cv2
import numpy as np

from motion_adapt.models.inputs.readable import Readable, pieces

# Forward and backward flow disagree if a pixel is hidden in the other frame (Sundaram et al., ECCV 2010):
# |f + b|^2 > OCCLUSION_SHARE * (|f|^2 + |b|^2) + OCCLUSION_PIXELS
OCCLUSION_SHARE, OCCLUSION_PIXELS = 0.01, 0.5

FAR_BEHIND = 0.15  # difference in quality: masks this much worse than most clips' would teach errors


class Shares(NamedTuple):
    """The shares of a mask clip that are empty, and the share of its pixels that is foreground."""

    empty: float  # share of the T * K masks that are empty
    empty_frames: float  # share of the T frames without any object
    coverage: float  # share of the pixels with any object


def flow_consistency(masks: Readable, flow: Readable, *, gap: int = 1, chunk: int = 16) -> float | None:
    """Compute the mean IoU of each mask with the mask `gap` frames later, warped back by the forward flow.

    Pixels that leave the frame, or that are hidden according to forward and backward flow, are left out of both masks.
    The mean is over all pairs of all objects, independent of their area. A pair of two empty masks does not count,
    since it is no evidence of consistency. None if no pair counts.

    Args:
        masks: bool (T, K, H, W).
        flow: f16 or f32 (T, 4, H, W) from `models.inputs.flow.stream_flow` for that gap, at the masks' H and W.
        gap: gap of the flow in frames.
        chunk: frames that are read at once.
    """
    count, objects, height, width = masks.shape
    if flow.shape != (count, 4, height, width):
        raise ValueError(f"flow: wanted {(count, 4, height, width)} like the masks, got {flow.shape}")
    if gap < 1:
        raise ValueError(f"gap: wanted at least 1 frame, got {gap}")
    ious: list[float] = []
    for start in range(0, count - gap, chunk):
        stop = min(start + chunk, count - gap)
        some_masks = np.asarray(masks[start : stop + gap])
        some_flow = np.asarray(flow[start : stop + gap], np.float32)  # OpenCV remaps no f16
        for t in range(stop - start):
            visible, columns, rows = correspond(some_flow[t, :2], some_flow[t + gap, 2:])
            for k in range(objects):
                later = some_masks[t + gap, k].astype(np.float32)
                back = (cv2.remap(later, columns, rows, cv2.INTER_LINEAR) > 0.5) & visible
                here = some_masks[t, k] & visible
                union = np.count_nonzero(here | back)
                if union:
                    ious.append(np.count_nonzero(here & back) / union)
    return float(np.mean(ious)) if ious else None


def agreement(first: Readable, second: Readable, *, chunk: int = 64) -> float | None:
    """Compute the mean IoU of two mask clips, object k with object k, over pairs that are not both empty.

    Two empty masks do not count, since otherwise a channel without an object would raise the mean. None if no pair
    counts.
    """
    if first.shape != second.shape:
        raise ValueError(f"masks: wanted two clips of one shape, got {first.shape} and {second.shape}")
    ious: list[float] = []
    for one, other in pieces(first, second, chunk=chunk):
        shared, union = (both.sum(axis=(2, 3)) for both in (one & other, one | other))  # (n, K)
        ious += (shared[union > 0] / union[union > 0]).tolist()
    return float(np.mean(ious)) if ious else None


def shares(masks: Readable, *, chunk: int = 64) -> Shares:
    """Compute the shares of empty masks, empty frames and foreground pixels of a mask clip of at least one frame."""
    count, objects, height, width = masks.shape
    if not count:
        raise ValueError("masks: wanted at least one frame, got none")
    empty, empty_frames, covered = 0, 0, 0
    for (some,) in pieces(masks, chunk=chunk):
        present = np.any(some, axis=(2, 3))  # (n, K)
        empty += int((~present).sum())
        empty_frames += int((~np.any(present, axis=1)).sum())
        covered += int(np.any(some, axis=1).sum())
    return Shares(empty / (count * objects), empty_frames / count, covered / (count * height * width))


def predicted_errors(
    errors: np.ndarray, exemplars: np.ndarray, masked: np.ndarray
) -> tuple[float | None, float | None]:
    """Compute the mean predicted error r of the exemplars, and of all frames; None if there are none.

    Args:
        errors: float (T, K), wrong pixels per mask pixel (eq. 3).
        exemplars: bool (T, K), the exemplars of each object.
        masked: bool (T, K), False for an empty mask. Its r is a number of pixels, so it is left out of both means.
    """
    of_exemplars, of_all = errors[exemplars & masked], errors[masked]
    return (
        float(of_exemplars.mean()) if of_exemplars.size else None,
        float(of_all.mean()) if of_all.size else None,
    )


def overall(measures: Mapping[str, float | None]) -> float | None:
    """Combine a clip's measures to one figure in [0, 1], higher is better; None if nothing could be measured.

    It is the geometric mean of flow_consistency, agreement_proposal, 1 - empty_frames, 1 - identity_switches and
    1 / (1 + frame_error), as far as they exist. The others cannot compensate for one that is near 0.
    """
    parts = [measures.get(name) for name in ("flow_consistency", "agreement_proposal")]
    parts += [
        None if (value := measures.get(name)) is None else 1 - value
        for name in ("empty_frames", "identity_switches")
    ]
    error = measures.get("frame_error")
    parts += [None if error is None else 1 / (1 + error)]
    found = [max(part, 0.0) for part in parts if part is not None]
    return float(np.prod(found) ** (1 / len(found))) if found else None


def far_behind(quality: Mapping[str, float | None]) -> list[str]:
    """Return the names of clips whose quality is more than `FAR_BEHIND` below the median: always fewer than half."""
    known = {name: value for name, value in quality.items() if value is not None}
    least = np.median(list(known.values())) - FAR_BEHIND if known else 0.0
    return [name for name, value in known.items() if value < least]


def rank_correlation(measure: Iterable[float], scores: Iterable[float], least: int = 4) -> float | None:
    """Compute Spearman's correlation of a measure with scores, in [-1, 1]: how well it ranks them.

    None for fewer than `least` pairs of finite values, or if all values of either are equal, so that there is nothing
    to rank.
    """
    one, other = np.asarray(list(measure), float), np.asarray(list(scores), float)
    known = np.isfinite(one) & np.isfinite(other)
    one, other = one[known], other[known]
    if len(one) < least or len(np.unique(one)) < 2 or len(np.unique(other)) < 2:
        return None
    from scipy.stats import spearmanr  # a second to import, and needed with labels alone

    return float(spearmanr(one, other).statistic)


def correspond(forward: np.ndarray, backward: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the position of each pixel in the later frame, and whether it is visible there.

    Args:
        forward: flow from the earlier frame, f32 (2, H, W).
        backward: flow from the later frame, f32 (2, H, W).

    Returns:
        Visible bool (H, W), columns and rows f32 (H, W).
    """
    _, height, width = forward.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    columns, rows = columns + forward[0], rows + forward[1]
    returning = np.stack(
        [cv2.remap(np.ascontiguousarray(part), columns, rows, cv2.INTER_LINEAR) for part in backward]
    )
    error = np.square(forward + returning).sum(axis=0)
    length = np.square(forward).sum(axis=0) + np.square(returning).sum(axis=0)
    inside = (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
    return inside & (error <= OCCLUSION_SHARE * length + OCCLUSION_PIXELS), columns, rows
