"""What is run on which frames: windows, chunks, parts and exemplars, planned by pure functions (3.3, A.3).

All ranges are half-open, (start, stop); all frame indices count from the first frame of what is planned.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

NO_EXEMPLAR = -1  # fills the rows of objects that have fewer exemplars than the others


def chunks(n: int, size: int = 30, overlap: int = 10) -> list[tuple[int, int]]:
    """Ranges of `size` frames that cover n frames and overlap their neighbours by `overlap` or more.

    The last chunk is shifted back so that it ends at frame n with its full size; fewer than `size` frames
    make one shorter chunk. overlap = 0 is the grouping of the reference. Where chunks overlap, the later one
    is in force.
    """
    if n < 1 or size < 1:
        raise ValueError(f"chunks: wanted at least one frame and size >= 1, got n={n}, size={size}")
    if not 0 <= overlap < size:
        raise ValueError(f"chunks: wanted 0 <= overlap < size, got overlap={overlap}, size={size}")
    if n <= size:
        return [(0, n)]
    starts = [*range(0, n - size, size - overlap), n - size]
    return [(start, start + size) for start in starts]


def windows(n: int, size: int = 7, *, pad: bool = False) -> NDArray[np.int64]:
    """Frame indices of the corrector's target windows: (windows, min(size, n)).

    Full windows from frame 0; the last one ends at frame n, and where two overlap the later one is in force.
    pad=True repeats the last frame to `size` entries when n < size, as the reference does.
    """
    frames = np.array([np.arange(start, stop) for start, stop in chunks(n, size, overlap=0)])
    if pad and n < size:
        return np.minimum(np.arange(size), n - 1)[None]
    return frames


def parts(n: int, limit: int = 104, target: int = 100) -> list[tuple[int, int]]:
    """Cut a clip of more than `limit` frames into n // target + 1 parts of at most a quarter more than `target`.

    They are equal and the last takes the rest, as in the reference, unless the rest is more than a quarter of a
    part: then the lengths differ by one frame at most.
    """
    if n < 1 or target < 2:
        raise ValueError(f"parts: wanted at least one frame and target >= 2, got n={n}, target={target}")
    count = 1 if n <= limit else n // target + 1
    length, rest = divmod(n, count)
    if rest > length / 4:
        bounds = [index * n // count for index in range(count + 1)]
    else:
        bounds = [*range(0, length * count, length), n]
    return list(pairwise(bounds))


def exemplars(errors: NDArray[np.floating], usable: NDArray[np.bool_], t: int = 10) -> NDArray[np.int64]:
    """The t frames of least predicted error for each object (equation 4), sorted by frame.

    errors: (T, K). usable: bool (T, K), False where the proposal is empty; such a frame is an exemplar only
    of an object that has no usable frame at all. Ties go to the earlier frame. An object with fewer than t
    frames has them all.
    Returns int64 (K, t'), t' <= t; rows of objects with fewer than t' exemplars end with NO_EXEMPLAR.
    """
    if errors.ndim != 2 or errors.shape != usable.shape or len(errors) == 0:
        raise ValueError(f"errors, usable: wanted two (T, K), T >= 1, got {errors.shape} and {usable.shape}")
    if t < 1:
        raise ValueError(f"exemplars: wanted t >= 1, got {t}")
    if not np.isfinite(errors).all():
        frame, k = np.argwhere(~np.isfinite(errors))[0]
        raise ValueError(f"errors: wanted finite values, got {errors[frame, k]} at frame {frame}, object {k}")
    chosen = np.zeros(errors.shape, np.bool_)
    for k, (error, use) in enumerate(zip(errors.T, usable.T, strict=True)):
        candidates = np.flatnonzero(use) if use.any() else np.arange(len(error))
        best = np.argsort(error[candidates], kind="stable")[:t]
        chosen[candidates[best], k] = True
    return exemplar_table(chosen)


def exemplar_table(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Frame indices of the marked exemplars, as `exemplars` returns them: bool (T, K) to int64 (K, t')."""
    rows = [np.flatnonzero(marks) for marks in chosen.T]
    table = np.full((len(rows), max(map(len, rows), default=0)), NO_EXEMPLAR, np.int64)
    for row, frames in zip(table, rows, strict=True):
        row[: len(frames)] = frames
    return table


def exemplar_marks(table: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
    """The inverse of `exemplar_table`: bool (n, K), True where a frame is an exemplar of an object."""
    marks = np.zeros((n, len(table)), np.bool_)
    for k, row in enumerate(table):
        marks[row[row != NO_EXEMPLAR], k] = True
    return marks
