"""Writing one artifact: an attempt that becomes visible as a whole or never."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import numpy as np
import zarr

from motion_adapt.storage.artifacts.arrays import ArrayWriter, Witness
from motion_adapt.storage.artifacts.files import StoreFiles
from motion_adapt.storage.artifacts.manifest import FileEntry, Manifest, versions
from motion_adapt.storage.keys import Artifact, Recipe, jsonable


class ArtifactWriter:
    """One attempt at an artifact: `with store.write(recipe) as out: out.append(...)`.

    Invariant: nothing is visible until the block ends; if it raises, nothing ever is.
    After the block, `published` is the artifact: this attempt, or the one that another process published first.
    """

    def __init__(
        self,
        files: StoreFiles,
        recipe: Recipe,
        *,
        attempt: str,
        made: dict[str, Any],
        publish: Callable[[Manifest], Artifact],
    ) -> None:
        self.recipe, self.made = recipe, made
        self.summary: dict[str, Any] = {}
        self._files, self._attempt, self._publish = files, attempt, publish
        self._prefix = f"{files.root}/{recipe.stage}/{recipe.key}/{attempt}"
        self._arrays: dict[str, ArrayWriter | Witness] = {}
        self._payload: dict[str, str] = {}
        self._aids: dict[str, str] = {}
        self._published: Artifact | None = None

    @property
    def published(self) -> Artifact:
        """The artifact. Available only after the block."""
        if self._published is None:
            raise RuntimeError(f"{self.recipe.stage}/{self.recipe.key} is not published yet")
        return self._published

    def append(self, name: str, rows: np.ndarray, dims: Sequence[str]) -> None:
        """Append rows to an array; the first call creates it, with the row shape and dtype of `rows`."""
        with self._files.writing():
            if name not in self._arrays:
                self._arrays[name] = ArrayWriter(
                    self._group, name, dims=dims, row=rows.shape[1:], dtype=rows.dtype
                )
            self._arrays[name].append(rows)

    def witness(self, name: str, rows: np.ndarray, dims: Sequence[str]) -> None:
        """Digest rows of an array that belongs to the result and is kept outside the store."""
        if name not in self._arrays:
            self._arrays[name] = Witness(dims=dims, row=rows.shape[1:], dtype=rows.dtype)
        self._arrays[name].append(rows)

    def put(self, name: str, data: bytes, *, aid: bool = False) -> None:
        """Add a plain file. An `aid` is verified like any file, but is not part of the result and its digest."""
        with self._files.writing():
            # A long training's folder may have been deleted as litter.
            self._files.fs.makedirs(self._prefix, exist_ok=True)
            self._files.fs.pipe_file(f"{self._prefix}/{name}", data)
        (self._aids if aid else self._payload)[name] = hashlib.sha256(data).hexdigest()

    def __enter__(self) -> Self:
        with self._files.writing():
            if self._files.fs.exists(self._prefix):  # a retry of the same attempt
                self._files.remove_attempt(self._prefix)
            self._files.fs.makedirs(self._prefix, exist_ok=True)
            self._group = zarr.open_group(self._files.zarr_store(self._prefix, read_only=False), mode="w")
        self._started, self._cpu = time.monotonic(), time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                with self._files.writing():
                    self._published = self._publish(self._manifest())
        finally:
            if self._published is None or self._published.attempt != self._attempt:
                with contextlib.suppress(OSError):
                    self._files.remove_attempt(self._prefix)

    def _manifest(self) -> Manifest:
        arrays = {name: array.close() for name, array in self._arrays.items()}
        files = {
            name: FileEntry(size=size, digest=self._files.file_digest(f"{self._prefix}/{name}"))
            for name, size in self._files.sizes(self._prefix).items()
        }
        for name, wanted in (self._payload | self._aids).items():
            if files[name].digest != wanted:
                raise OSError(f"{name}: reading back gave other bytes than were written")
        return Manifest(
            stage=self.recipe.stage,
            version=self.recipe.version,
            key=self.recipe.key,
            attempt=self._attempt,
            settings=jsonable(self.recipe.settings),
            inputs=dict(self.recipe.inputs),
            arrays=arrays,
            files=files,
            payload=self._payload,
            summary=jsonable(self.summary),
            made={
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(time.monotonic() - self._started, 3),
                "process_seconds": round(time.process_time() - self._cpu, 3),
                "versions": dict(versions()),
                **self.made,
            },
        )
