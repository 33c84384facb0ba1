"""Where a clip's data is read, piece by piece: an array in memory, or one in the store."""

from typing import Any, Protocol


class Readable(Protocol):
    """Anything along the frames of a clip that slices as a NumPy array does.

    Slices, and lists of indices, of the first axis give NumPy arrays.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, ...)."""

    def __getitem__(self, key: Any, /) -> Any:
        """Entries of the frames."""
