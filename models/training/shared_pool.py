"""Clips that recur in a training: each is generated once, by the first process that requests it."""

from collections.abc import Callable, Mapping
from multiprocessing import get_context
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]

START_METHOD = "spawn"  # of the processes that share a pool: library threads don't survive a fork


class Pool:
    """A pool of numbered clips. A clip's arrays stay in memory once generated. All clips have the same shapes.

    Args:
        size: number of clips.
        make: generates a clip from its number alone.
        shared: whether all processes that receive the pool when they start share its memory. The first clip is then
            generated at once, to determine the size of this memory. Two processes that request a clip at the same time
            may both generate it, with the same bytes.
    """

    def __init__(self, size: int, make: Callable[[int], Arrays], *, shared: bool = False) -> None:
        if size < 1:
            raise ValueError(f"size: wanted at least 1 clip, got {size}")
        self.size, self.make = size, make
        self.kept: dict[int, Arrays] = {}
        self.shared: Shared | None = None
        if shared:
            first = make(0)
            self.shared = Shared(size, first)
            self.kept[0] = self.shared.write(0, first)

    def __getitem__(self, number: int) -> Arrays:
        """Return the arrays of a clip, which must not be modified."""
        if not 0 <= number < self.size:
            raise IndexError(f"number: wanted 0 to {self.size - 1}, got {number}")
        if number not in self.kept:
            found = self.shared.read(number) if self.shared else None
            if found is None:
                found = self.make(number)
                found = self.shared.write(number, found) if self.shared else found
            self.kept[number] = found
        return self.kept[number]

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for another process, without copies of clips."""
        return {**vars(self), "kept": {}}


class Shared:
    """Memory for the arrays of `size` clips with the shapes of `like`. It can only be passed to a starting process."""

    def __init__(self, size: int, like: Arrays) -> None:
        context = get_context(START_METHOD)
        self.layout = {name: (array.shape, array.dtype.str) for name, array in like.items()}
        self.buffers = {name: context.RawArray("B", size * array.nbytes) for name, array in like.items()}
        self.written = context.RawArray("B", size)
        self.lock = context.Lock()  # also ensures that a clip's bytes are visible before its mark is

    def views(self, number: int) -> Arrays:
        """Return views of a clip's memory, whether it has been written or not."""
        found = {}
        for name, (shape, dtype) in self.layout.items():
            every = np.frombuffer(self.buffers[name], dtype)
            found[name] = every.reshape(-1, *shape)[number]
        return found

    def read(self, number: int) -> Arrays | None:
        """Return the arrays of a clip, or None if no process has written them yet."""
        with self.lock:
            return self.views(number) if self.written[number] else None

    def write(self, number: int, arrays: Arrays) -> Arrays:
        """Store the arrays of a clip for all processes. Returns views of the stored arrays."""
        views = self.views(number)
        for name, view in views.items():
            view[...] = arrays[name]
        with self.lock:
            self.written[number] = 1
        return views
