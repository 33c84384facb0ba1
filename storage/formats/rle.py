"""COCO's run-length code of binary masks, as its own tools read and write it.

Pixels are read column by column, and the lengths of the runs are counted alternately, background first, which may be
0 long. The compact text stores the first three counts as they are, and each later count as its difference from the
count two before it. A number is split into groups of five bits, lowest first, the last in two's complement. Each
group becomes the character 48 + group, plus 32 if another group follows.
"""

from itertools import pairwise

import numpy as np

_BITS, _MORE, _SIGN, _FIRST = 5, 0x20, 0x10, 48


def encode(mask: np.ndarray) -> str:
    """Return the compact text of a (H, W) mask; any nonzero value is foreground.

    Raises:
        ValueError: if the mask is not (H, W) or has no pixels.
    """
    if mask.ndim != 2 or not mask.size:
        raise ValueError(f"mask: wanted (H, W) with pixels, got {mask.shape}")
    flat = np.asarray(mask != 0).ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = [0, *changes.tolist(), flat.size]
    counts = [after - before for before, after in pairwise(bounds)]
    return pack([0, *counts] if flat[0] else counts)


def decode(text: str, size: tuple[int, int]) -> np.ndarray:
    """Return the bool (H, W) mask of a compact text.

    Raises:
        ValueError: if the text is not such a code, or not one of a mask of `size` (H, W).
    """
    counts = unpack(text)
    height, width = size
    if min(counts, default=0) < 0 or sum(counts) != height * width:
        raise ValueError(
            f"counts: wanted {height * width} pixels for {height}x{width}, got runs {counts[:8]}"
        )
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape((height, width), order="F")


def pack(counts: list[int]) -> str:
    """Return run lengths as compact text."""
    text = []
    for index, count in enumerate(counts):
        left = count - counts[index - 2] if index > 2 else count
        more = True
        while more:
            group, left = left & (_MORE - 1), left >> _BITS
            more = left != (-1 if group & _SIGN else 0)
            text.append(chr(_FIRST + group + (_MORE if more else 0)))
    return "".join(text)


def unpack(text: str) -> list[int]:
    """Return the run lengths of a compact text.

    Raises:
        ValueError: if the text is not such a code.
    """
    counts: list[int] = []
    value = shift = 0
    for sign in text:
        group = ord(sign) - _FIRST
        if not 0 <= group < 2 * _MORE:
            raise ValueError(f"{sign!r} is no character of a run-length code")
        value |= (group & (_MORE - 1)) << shift
        shift += _BITS
        if group & _MORE:
            continue
        if group & _SIGN:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the run-length code is cut short")
    return counts
