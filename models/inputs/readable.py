"""Where a clip's data is read, piece by piece: an array in memory, or one in the store."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np


class Readable(Protocol):
    """Anything along the frames of a clip that slices as a NumPy array does.

    Slices, and lists of indices, of the first axis give NumPy arrays.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, ...)."""

    def __getitem__(self, key: Any, /) -> Any:
        """Entries of the frames."""


def pieces(*clips: Readable, chunk: int = 64) -> Iterator[tuple[np.ndarray, ...]]:
    """The same frames of clips of one length, `chunk` at a time, in order."""
    for start in range(0, clips[0].shape[0], chunk):
        yield tuple(np.asarray(clip[start : start + chunk]) for clip in clips)
