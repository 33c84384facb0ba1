"""The files of a store, on a local disk or behind any fsspec URL: the few operations that the guarantees rest on."""

import contextlib
import hashlib
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore

from storage.manifest import Manifest

MANIFEST = "manifest.json"
_seen_right: set[tuple[str, int, int]] = set()  # (file, size, time) whose digest this process found right


class DamagedArtifact(RuntimeError):
    """Stored bytes are not the ones that were published."""

    def __init__(self, artifact: str, what: str) -> None:
        super().__init__(artifact, what)  # both, so that the error survives pickling between workers
        self.artifact, self.what = artifact, what

    def __str__(self) -> str:
        return (
            f"artifact {self.artifact} is damaged: {self.what}. "
            "It has been withdrawn; run the same command again and it is recomputed."
        )


class StoreFiles:
    """Where things lie in a store, and how they are put, taken away and checked.

    Invariant: a manifest is put in place in one atomic step and taken away before anything that it names.
    """

    def __init__(self, url: str | Path) -> None:
        self.url = str(url)
        self.fs, root = url_to_fs(self.url)
        self.root = str(root).rstrip("/")
        self.local = isinstance(self.fs, LocalFileSystem)

    def manifest_path(self, stage: str, key: str) -> str:
        """Where the manifest of an artifact lies."""
        return f"{self.root}/{stage}/{key}/{MANIFEST}"

    def prefix(self, manifest: Manifest) -> str:
        """Where the attempt that a manifest names lies."""
        return f"{self.root}/{manifest.stage}/{manifest.key}/{manifest.attempt}"

    def zarr_store(self, prefix: str, *, read_only: bool) -> Store:
        """The Zarr store of one attempt."""
        if self.local:
            return LocalStore(prefix, read_only=read_only)
        return FsspecStore.from_url(self.fs.unstrip_protocol(prefix), read_only=read_only)

    def put_manifest(self, manifest: Manifest) -> None:
        """Put a manifest in place: written beside, synced and renamed on a disk, one PUT on an object store."""
        path, data = self.manifest_path(manifest.stage, manifest.key), manifest.sealed()
        if not self.local:
            self.fs.pipe_file(path, data)
            return
        beside = Path(f"{path}.{manifest.attempt}.partial")
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    def unpublish(self, stage: str, key: str) -> None:
        """Take an artifact's manifest away: it is recomputed when next asked for. Its files become litter."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self.manifest_path(stage, key))

    def remove_attempt(self, prefix: str) -> None:
        """Delete an attempt's files, and the folder of its key where nothing else is in it."""
        self.fs.rm(prefix, recursive=True)
        folder = Path(prefix).parent
        with contextlib.suppress(OSError):
            if self.local and not any(folder.iterdir()):
                folder.rmdir()

    def sizes(self, prefix: str) -> dict[str, int]:
        """Bytes of every file below a prefix, by its path from there."""
        self.fs.invalidate_cache(prefix)
        found = self.fs.find(prefix, detail=True)
        return {path.removeprefix(prefix + "/"): info["size"] for path, info in found.items()}

    def file_digest(self, path: str) -> str:
        """SHA-256 of one stored file, read in pieces."""
        sha = hashlib.sha256()
        with self.fs.open(path, "rb") as file:
            while piece := file.read(2**20):
                sha.update(piece)
        return sha.hexdigest()

    def fault(self, manifest: Manifest, name: str) -> str | None:
        """What is wrong with a file that a manifest names, or None."""
        try:
            found = self.file_digest(f"{self.prefix(manifest)}/{name}")
        except FileNotFoundError:
            return f"{name} is missing"
        return None if found == manifest.files[name].digest else f"{name} has other bytes than were published"

    def check(self, manifest: Manifest, name: str) -> None:
        """See that a file has the bytes that were published: once per process, and again once it has changed.

        A shard that no manifest names was all zeros: Zarr stores none, and none is read.

        Raises:
            DamagedArtifact: where it has others; the artifact is withdrawn.
        """
        mark = self._state(f"{self.prefix(manifest)}/{name}")
        if mark in _seen_right or name not in manifest.files:
            return
        fault = self.fault(manifest, name)
        if fault:
            self.unpublish(manifest.stage, manifest.key)
            raise DamagedArtifact(str(manifest.artifact), fault)
        _seen_right.add(mark)

    def _state(self, path: str) -> tuple[str, int, int]:
        """A file as it is now, as far as a glance tells; on an object store, where none is cheap, its name alone."""
        with contextlib.suppress(OSError):
            if self.local:
                found = os.stat(path)  # noqa: PTH116 - for every shard that is read: a Path is dearer than the call
                return path, found.st_size, found.st_mtime_ns
        return path, 0, 0


def modified(info: dict[str, Any]) -> float:
    """Time of the last change in seconds, from an fsspec listing of any file system."""
    value = info.get("mtime") or info.get("LastModified") or info.get("created") or 0.0
    return value.timestamp() if isinstance(value, datetime) else float(value)
