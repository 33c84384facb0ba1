"""A clip's data that can be read piece by piece: an array in memory or in the store."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Readable(Protocol):
    """Any sequence over the frames of a clip that slices like a NumPy array.

    Indexing the first axis with a slice or a list of indices returns a NumPy array.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, ...)."""

    def __getitem__(self, key: Any, /) -> Any:
        """Return the entries of the given frames."""


@dataclass(frozen=True)
class Stretch:
    """The frames from `first` to before `stop` of a clip; it takes slices."""

    clip: Readable
    first: int
    stop: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(stop - first, ...)."""
        return (self.stop - self.first, *self.clip.shape[1:])

    def __getitem__(self, key: slice, /) -> Any:
        """Return the entries of the given frames, counted from `first`."""
        start, stop, step = key.indices(self.stop - self.first)
        return self.clip[self.first + start : self.first + stop : step]


@dataclass(frozen=True)
class SomeFrames:
    """Some frames of a clip of `shape` (T, ...), by index; it takes lists of these indices."""

    frames: Mapping[int, np.ndarray]
    shape: tuple[int, ...]

    def __getitem__(self, key: list[int], /) -> np.ndarray:
        """Return the entries of the given frames."""
        return np.stack([self.frames[index] for index in key])


def pieces(*clips: Readable, chunk: int = 64) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the same frames of several clips of equal length, `chunk` frames at a time, in order."""
    for start in range(0, clips[0].shape[0], chunk):
        yield tuple(np.asarray(clip[start : start + chunk]) for clip in clips)


def spread(count: int, most: int) -> list[int]:
    """Return the indices of up to `most` of `count` frames, evenly spread, with the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
