"""Arrays of an artifact: written in whole shards along the first axis, verified against their digests when read.

The first axis is almost always time. Long clips are streamed: a writer holds at most one shard in memory, and a
reader touches only the shards that contain the requested rows.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.codecs import BloscCodec, BloscShuffle, ZstdCodec

from motion_adapt.storage.artifacts.manifest import ArrayEntry

CHUNK_BYTES = 2 * 2**20  # small, because a training step reads single frames
SHARD_BYTES = 32 * 2**20  # bounds a writer's memory and the number of files
SHARD_CHUNKS = 256  # a shard ends in an index of 16 bytes per chunk, whether the chunk holds rows or not


def plan_rows(row_bytes: int) -> tuple[int, int]:
    """Return the rows per chunk and per shard for rows of `row_bytes` bytes; a shard is a whole number of chunks.

    Chunks have 1, 2, 4, 8 or 16 rows, so that readers of 8 or 16 rows at a time mostly read whole chunks.
    """
    fitting = max(CHUNK_BYTES // max(row_bytes, 1), 1)
    chunk = min(1 << fitting.bit_length() - 1, 16)
    return chunk, chunk * min(max(SHARD_BYTES // max(row_bytes * chunk, 1), 1), SHARD_CHUNKS)


class ArrayWriter:
    """Appends blocks of rows to one Zarr array.

    Invariant: until `close`, only whole shards are on disk, so no shard is ever written twice.
    """

    def __init__(
        self, group: zarr.Group, name: str, *, dims: Sequence[str], row: tuple[int, ...], dtype: np.dtype
    ) -> None:
        if len(dims) != 1 + len(row):
            raise ValueError(f"array {name}: {len(dims)} dimension names for {1 + len(row)} dimensions")
        self.name, self.dims, self.row, self.dtype = name, tuple(dims), row, dtype
        self.chunk, self.shard = plan_rows(int(np.prod(row, dtype=np.int64)) * dtype.itemsize)
        floats = dtype.kind == "f"
        self._array = group.create_array(
            name,
            shape=(0, *row),
            dtype=dtype,
            chunks=(self.chunk, *row),
            shards=(self.shard, *row),
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle=BloscShuffle.shuffle)
            if floats
            else ZstdCodec(level=3, checksum=True),
            dimension_names=self.dims,
        )
        self._pending: list[np.ndarray] = []
        self._pending_rows = 0
        self._hash = hashlib.sha256()

    def append(self, block: np.ndarray) -> None:
        """Append rows.

        Raises:
            ValueError: if the block's row shape or dtype differs from the first block's.
        """
        if block.shape[1:] != self.row or block.dtype != self.dtype:
            raise ValueError(
                f"array {self.name}: rows are {self.row} {self.dtype}, got {block.shape[1:]} {block.dtype}"
            )
        block = np.ascontiguousarray(block)
        self._hash.update(block.data)
        self._pending.append(block)
        self._pending_rows += len(block)
        if self._pending_rows >= self.shard:
            rows = np.concatenate(self._pending)
            whole = len(rows) // self.shard * self.shard
            self._write(rows[:whole])
            self._pending, self._pending_rows = [rows[whole:].copy()], len(rows) - whole

    def close(self) -> ArrayEntry:
        """Write the remaining rows, read everything back, and return the entry for the manifest.

        Raises:
            OSError: if the values read back differ from those appended.
        """
        if self._pending_rows:
            self._write(np.concatenate(self._pending))
        wanted = self._hash.hexdigest()
        if decoded_digest(self._array) != wanted:
            raise OSError(f"array {self.name}: reading back gave other values than were written")
        return ArrayEntry(
            shape=self._array.shape,
            dtype=self.dtype.name,
            dims=self.dims,
            chunk_rows=self.chunk,
            shard_rows=self.shard,
            digest=wanted,
        )

    def _write(self, rows: np.ndarray) -> None:
        start = self._array.shape[0]
        self._array.resize((start + len(rows), *self.row))
        self._array[start : start + len(rows)] = rows


class Witness:
    """Takes the rows of an array that is kept outside the store: describes and digests them, and writes nothing."""

    def __init__(self, *, dims: Sequence[str], row: tuple[int, ...], dtype: np.dtype) -> None:
        self.dims, self.row, self.dtype, self.rows = tuple(dims), row, dtype, 0
        self._hash = hashlib.sha256()

    def append(self, block: np.ndarray) -> None:
        """Take rows."""
        self._hash.update(np.ascontiguousarray(block).data)
        self.rows += len(block)

    def close(self) -> ArrayEntry:
        """Return the entry for the manifest, with the digest that the array would have in the store."""
        return ArrayEntry(
            shape=(self.rows, *self.row),
            dtype=self.dtype.name,
            dims=self.dims,
            chunk_rows=0,
            shard_rows=0,
            digest=self._hash.hexdigest(),
            stored=False,
        )


class StoredArray:
    """A published array, indexed along its first axis like a NumPy array.

    Every shard is checked against the manifest before any of its values is returned.
    """

    def __init__(self, store: Store, name: str, entry: ArrayEntry, check: Callable[[str], None]) -> None:
        check(f"{name}/zarr.json")
        self._array = zarr.open_array(store, path=name, mode="r")
        self._name, self._entry, self._check = name, entry, check
        if self._array.shape != entry.shape or self._array.dtype != np.dtype(entry.dtype):
            raise ValueError(f"array {name}: the Zarr metadata disagree with the manifest")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole array."""
        return self._entry.shape

    @property
    def dtype(self) -> np.dtype:
        """NumPy dtype of the values."""
        return np.dtype(self._entry.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | Sequence[int] | np.ndarray) -> np.ndarray:
        """Return rows by index, slice or list of indices (in the order given)."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step != 1:
                return self[range(start, stop, step)]
            self._check_rows(range(start, stop))
            return np.asarray(self._array[start:stop])
        if isinstance(rows, int | np.integer):
            return self[[int(rows)]][0]
        wanted = np.asarray(rows, dtype=np.int64)
        wanted = np.where(wanted < 0, wanted + len(self), wanted)
        unique, where = np.unique(wanted, return_inverse=True)
        if not len(unique):
            return np.empty((0, *self.shape[1:]), self.dtype)
        if unique[0] < 0 or unique[-1] >= len(self):
            raise IndexError(
                f"array {self._name} has {len(self)} rows, asked for {wanted.min()}..{wanted.max()}"
            )
        self._check_rows(unique)
        # Zarr takes two to three times as long to read rows by their indices as to read slices.
        of_chunks = np.split(unique, np.flatnonzero(np.diff(unique // self._entry.chunk_rows)) + 1)
        read = [np.asarray(self._array[rows[0] : rows[-1] + 1])[rows - rows[0]] for rows in of_chunks]
        return np.concatenate(read)[where]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = self[:]
        return values if dtype is None else values.astype(dtype)

    def blocks(self) -> Any:
        """Yield (start, rows) shard by shard."""
        for start in range(0, len(self), self._entry.shard_rows):
            yield start, self[start : start + self._entry.shard_rows]

    def _check_rows(self, rows: Sequence[int] | np.ndarray) -> None:
        tail = "/0" * (len(self.shape) - 1)
        for shard in np.unique(np.asarray(rows) // self._entry.shard_rows):
            self._check(f"{self._name}/c/{shard}{tail}")


def decoded_digest(array: zarr.Array) -> str:
    """Return the SHA-256 (hex) of the decoded values in row order, reading shard by shard."""
    rows = (array.shards or array.chunks)[0]
    sha = hashlib.sha256()
    for start in range(0, array.shape[0], rows):
        sha.update(np.ascontiguousarray(array[start : start + rows]).data)
    return sha.hexdigest()
