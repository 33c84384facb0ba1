"""Clips that come again and again in a training: each is made once, by whichever process first asks for it."""

from collections.abc import Callable, Mapping
from multiprocessing import get_context
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]

START_METHOD = "spawn"  # of the processes that share a pool: threads of libraries don't survive a fork


class Pool:
    """`size` clips by number, whose arrays stay in memory once they were made; all clips have the same shapes.

    make: a function of the number alone. shared: all processes that get the pool when they are started have one
    memory for it; the first clip is then made at once, to know how large that is. Two that ask for a clip at the same
    time may both make it, with the same bytes.
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
        """The arrays of a clip, not to be changed."""
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
        """What another process gets: no copies of clips."""
        return {**vars(self), "kept": {}}


class Shared:
    """Memory for the arrays of `size` clips with the shapes of `like`; it may only be sent to a starting process."""

    def __init__(self, size: int, like: Arrays) -> None:
        context = get_context(START_METHOD)
        self.layout = {name: (array.shape, array.dtype.str) for name, array in like.items()}
        self.buffers = {name: context.RawArray("B", size * array.nbytes) for name, array in like.items()}
        self.written = context.RawArray("B", size)
        self.lock = context.Lock()  # also keeps a clip's bytes from being seen later than its mark

    def views(self, number: int) -> Arrays:
        """The memory of a clip, whether it is written or not."""
        found = {}
        for name, (shape, dtype) in self.layout.items():
            every = np.frombuffer(self.buffers[name], dtype)
            found[name] = every.reshape(-1, *shape)[number]
        return found

    def read(self, number: int) -> Arrays | None:
        """The arrays of a clip, if some process has written them."""
        with self.lock:
            return self.views(number) if self.written[number] else None

    def write(self, number: int, arrays: Arrays) -> Arrays:
        """Let all processes have the arrays of a clip; returns them as they are kept."""
        views = self.views(number)
        for name, view in views.items():
            view[...] = arrays[name]
        with self.lock:
            self.written[number] = 1
        return views
