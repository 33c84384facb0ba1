"""Reading one published artifact."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from motion_adapt.storage.artifacts.arrays import StoredArray
from motion_adapt.storage.artifacts.files import DamagedArtifact, StoreFiles
from motion_adapt.storage.artifacts.manifest import Manifest


class ArtifactReader:
    """A published artifact: arrays by name, plain files, and the summary; each is verified when it is read."""

    def __init__(self, files: StoreFiles, manifest: Manifest) -> None:
        self.manifest = manifest
        self._files, self._prefix = files, files.prefix(manifest)

    @property
    def summary(self) -> dict[str, Any]:
        """Small JSON results."""
        return self.manifest.summary

    def array(self, name: str) -> StoredArray:
        """Open one array, indexed along its first axis.

        Raises:
            KeyError: if the artifact has no array of that name, or does not keep it in the store.
        """
        if name not in self.manifest.arrays:
            raise KeyError(
                f"{self.manifest.artifact} has arrays {sorted(self.manifest.arrays)}, not '{name}'"
            )
        if not self.manifest.arrays[name].stored:
            raise KeyError(
                f"array '{name}' of {self.manifest.artifact} is not in the store, but in its source"
            )
        store = _Whole(self._files.zarr_store(self._prefix, read_only=True), self._lacks)
        return StoredArray(store, name, self.manifest.arrays[name], self._check)

    def read(self, name: str) -> bytes:
        """Return the bytes of a plain file."""
        self._check(name)
        data: bytes = self._files.fs.cat_file(f"{self._prefix}/{name}")
        return data

    @contextlib.contextmanager
    def path(self, name: str) -> Iterator[Path]:
        """Give a plain file as a path on this machine, for libraries that need one; valid inside the `with` block."""
        self._check(name)
        if self._files.local:
            yield Path(self._prefix) / name
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / Path(name).name
            self._files.fs.get_file(f"{self._prefix}/{name}", str(copy))
            yield copy

    def damaged(self, what: str) -> DamagedArtifact:
        """Withdraw the artifact, unless it has been published anew; return the error to raise."""
        return self._files.damaged(self.manifest, what)

    def _check(self, name: str) -> None:
        self._files.check(self.manifest, name)

    def _lacks(self, name: str) -> None:
        """Raise DamagedArtifact if the manifest names a file that is not there. Shards of zeros are not stored."""
        if name in self.manifest.files:
            raise self.damaged(f"{name} is missing")


class _Whole(WrapperStore[Store]):
    """A Zarr store that tells `lacks` of every file that it does not find, which Zarr would take for zeros."""

    def __init__(self, store: Store, lacks: Callable[[str], None]) -> None:
        super().__init__(store)
        self._lacks = lacks

    def _with_store(self, store: Store) -> Self:
        return type(self)(store, self._lacks)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        found = await super().get(key, prototype, byte_range)
        if found is None:
            self._lacks(key)
        return found
