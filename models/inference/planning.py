"""Plan which frames each stage processes together: windows, chunks, parts and exemplars (3.3, A.3).

All functions are pure. Ranges are half-open, (start, stop). Frame indices count from the first frame of the clip or
part that is planned.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil

import numpy as np
from numpy.typing import NDArray

# A clip of more frames than the limit is cut into parts of about the length (paper, A.3), each with its own exemplars.
PART_LIMIT, PART_LENGTH = 104, 100
NO_EXEMPLAR = -1  # fills the rows of objects that have fewer exemplars than the others


def chunks(n: int, size: int = 30, overlap: int = 10) -> list[tuple[int, int]]:
    """Return ranges of `size` frames that cover n frames and overlap their neighbours by `overlap` or more.

    The last chunk is shifted back so that it ends at frame n with its full size. If n < `size`, there is one shorter
    chunk. `overlap` = 0 reproduces the reference's grouping. If chunks overlap, the later one's results are used.
    """
    if n < 1 or size < 1:
        raise ValueError(f"chunks: wanted at least one frame and size >= 1, got n={n}, size={size}")
    if not 0 <= overlap < size:
        raise ValueError(f"chunks: wanted 0 <= overlap < size, got overlap={overlap}, size={size}")
    if n <= size:
        return [(0, n)]
    starts = [*range(0, n - size, size - overlap), n - size]
    return [(start, start + size) for start in starts]


def windows(n: int, size: int = 7, *, even: bool = False) -> NDArray[np.int64]:
    """Return the frame indices of the corrector's target windows: int64 (windows, min(size, n)).

    Windows are full and start at frame 0; the last one ends at frame n. If two overlap, the later one's results are
    used. The reference fills the window of a shorter clip by repeating its last frame.

    With `even`, windows that would overlap are shortened evenly: 15 frames are three windows of 5 instead of 7.
    """
    if even:
        size = ceil(n / ceil(n / size))
    return np.array([np.arange(start, stop) for start, stop in chunks(n, size, overlap=0)])


def parts(n: int, limit: int = PART_LIMIT, target: int = PART_LENGTH) -> list[tuple[int, int]]:
    """Cut a clip of more than `limit` frames into n // target + 1 parts, none more than a quarter longer than `target`.

    As in the reference, the parts are equal and the last one also takes the remainder. If the remainder exceeds a
    quarter of a part, it is spread instead, so that lengths differ by at most one frame.
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


def exemplars(
    errors: NDArray[np.floating],
    usable: NDArray[np.bool_],
    t: int = 10,
    *,
    allowed: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Choose the t frames with the smallest predicted error for each object (equation 4), sorted by frame.

    Ties go to the earlier frame. An object with fewer than t usable frames gets all of them.

    Args:
        errors: (T, K).
        usable: bool (T, K), False if the proposal is empty. Such a frame becomes an exemplar only if the object has no
            usable frame at all.
        t: maximum number of exemplars.
        allowed: bool (T,), False for frames that are exemplars of no object; None: all frames may be.

    Returns:
        int64 (K, t') with t' <= t. Rows of objects with fewer than t' exemplars end with NO_EXEMPLAR.

    Raises:
        ValueError: the shapes differ, t < 1, or an error is not finite.
    """
    if errors.ndim != 2 or errors.shape != usable.shape or len(errors) == 0:
        raise ValueError(f"errors, usable: wanted two (T, K), T >= 1, got {errors.shape} and {usable.shape}")
    if t < 1:
        raise ValueError(f"exemplars: wanted t >= 1, got {t}")
    if not np.isfinite(errors).all():
        frame, k = np.argwhere(~np.isfinite(errors))[0]
        raise ValueError(f"errors: wanted finite values, got {errors[frame, k]} at frame {frame}, object {k}")
    chosen = np.zeros(errors.shape, np.bool_)
    allowed = np.ones(len(errors), np.bool_) if allowed is None else allowed
    for k, (error, use) in enumerate(zip(errors.T, usable.T, strict=True)):
        candidates = np.flatnonzero(use & allowed if (use & allowed).any() else allowed)
        best = np.argsort(error[candidates], kind="stable")[:t]
        chosen[candidates[best], k] = True
    return exemplar_table(chosen)


def exemplar_table(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Convert exemplar marks, bool (T, K), to the table that `exemplars` returns, int64 (K, t')."""
    rows = [np.flatnonzero(marks) for marks in chosen.T]
    table = np.full((len(rows), max(map(len, rows), default=0)), NO_EXEMPLAR, np.int64)
    for row, frames in zip(table, rows, strict=True):
        row[: len(frames)] = frames
    return table


def exemplar_marks(table: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
    """Convert an exemplar table to marks, bool (n, K), True if a frame is an exemplar: inverse of `exemplar_table`."""
    marks = np.zeros((n, len(table)), np.bool_)
    for k, row in enumerate(table):
        marks[row[row != NO_EXEMPLAR], k] = True
    return marks


def exemplars_for_part(
    marks: NDArray[np.bool_], first: int, last: int, given: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which of a clip's exemplars, bool (T, K), the frames from `first` to before `last` are corrected from.

    These are the exemplars among them, and all that are `given`, bool (T,): those serve the whole clip.
    """
    here = np.zeros(len(marks), np.bool_)
    here[first:last] = True
    return marks & (here | given)[:, None]


def nearest_that_shows(shows: Sequence[bool]) -> list[int]:
    """Return for each part the nearest one that shows an object: itself, or else the earlier of two equally far ones.

    If no part shows any, every part is its own.
    """
    lenders = np.flatnonzero(shows)
    if not len(lenders):
        return list(range(len(shows)))
    return [int(lenders[np.abs(lenders - part).argmin()]) for part in range(len(shows))]


def correctable(
    marks: NDArray[np.bool_], given: NDArray[np.bool_], limit: int, target: int
) -> NDArray[np.bool_]:
    """Return the frames, bool (T,), that have exemplars to be corrected from; see `parts` and `exemplars_for_part`."""
    found = np.zeros(len(marks), np.bool_)
    for first, last in parts(len(marks), limit, target):
        found[first:last] = exemplars_for_part(marks, first, last, given).any()
    return found
