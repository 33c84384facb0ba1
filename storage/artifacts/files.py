"""The files of a store, on a local disk or at any fsspec URL: the few operations that its guarantees rely on."""

import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore

from motion_adapt.storage.artifacts.manifest import Manifest, unseal

MANIFEST = "manifest.json"
_FRESH = {"use_listings_cache": False}  # other processes write too, so a cached listing may be out of date
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)  # raised by os.link on file systems without hard links
_CANT_WRITE = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR
)  # fmt: skip
_seen_right: set[tuple[str, int, int]] = set()  # (file, size, time) whose digest this process has verified


class DamagedArtifact(RuntimeError):
    """Stored bytes are not the ones that were published."""

    def __init__(self, artifact: str, what: str, stuck: str = "") -> None:
        # All three, so that the error survives pickling between workers.
        super().__init__(artifact, what, stuck)
        self.artifact, self.what, self.stuck = artifact, what, stuck  # stuck: why it could not be withdrawn

    def __str__(self) -> str:
        then = "It has been withdrawn; run the same command again and it is recomputed."
        if self.stuck:
            then = (
                f"It could not be withdrawn ({self.stuck}): make the store writable and run "
                "'motion-adapt store verify --withdraw', then the same command again."
            )
        return f"artifact {self.artifact} is damaged: {self.what}. {then}"


class StoreUnwritable(OSError):
    """The store cannot be written: its disk is full, or it is read-only."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(url, why)  # both, so that the error survives pickling between workers
        self.url, self.why = url, why

    def __str__(self) -> str:
        return (
            f"the store {self.url} can't be written: {self.why}. What it holds is intact; free some space or make it "
            "writable, and run the same command again: it resumes where it stopped."
        )


class StoreFiles:
    """Paths in a store, and how files are published, removed and checked.

    Invariant: a manifest is put in place in one atomic step, never replaces another one, and is removed before
    anything that it names.
    """

    def __init__(self, url: str | Path) -> None:
        self.url = str(url)
        self.fs, root = url_to_fs(self.url, **_FRESH)
        self.root = str(root).rstrip("/")
        self.local = isinstance(self.fs, LocalFileSystem)

    def addresses(self, stage: str = "*") -> Iterator[tuple[str, str]]:
        """Yield (stage, key) of every folder that may hold an artifact, sorted; `stage` may be a pattern."""
        for name in self.names():
            if fnmatchcase(name, stage):
                yield from ((name, key) for key in self.names(name))

    def names(self, *below: str, files: bool = False) -> list[str]:
        """Return the sorted names of the folders (and files) directly inside a folder; empty if it does not exist.

        Lists and never globs, because the store's own path may contain characters that read as a pattern.
        """
        folder = "/".join((self.root, *below))
        try:
            found = self.fs.ls(folder, detail=True)
        except FileNotFoundError:
            return []
        inside = [info for info in found if info["name"].rstrip("/") != folder]  # a file's listing is itself
        return sorted(
            info["name"].rstrip("/").rpartition("/")[2] for info in inside if files or info["type"] != "file"
        )

    def manifest_path(self, stage: str, key: str) -> str:
        """Return the path of an artifact's manifest."""
        return f"{self.root}/{stage}/{key}/{MANIFEST}"

    def prefix(self, manifest: Manifest) -> str:
        """Return the path of the attempt that a manifest names."""
        return f"{self.root}/{manifest.stage}/{manifest.key}/{manifest.attempt}"

    def zarr_store(self, prefix: str, *, read_only: bool) -> Store:
        """Open the Zarr store of one attempt."""
        if self.local:
            return LocalStore(prefix, read_only=read_only)
        return FsspecStore.from_url(
            self.fs.unstrip_protocol(prefix), read_only=read_only, storage_options=_FRESH
        )

    def put_manifest(self, manifest: Manifest) -> bool:
        """Put a manifest in place; return False if there is one already. Of several writers, one succeeds.

        On a disk it is written and synced inside its attempt, then linked; on an object store it is one conditional
        PUT. Neither uses a lock, so a killed process leaves none behind.
        """
        path, data = self.manifest_path(manifest.stage, manifest.key), manifest.sealed()
        try:
            if self.local:
                _link(Path(self.prefix(manifest)) / MANIFEST, Path(path), data)
            else:
                self.fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        return True

    def put_whole(self, path: str, data: bytes) -> None:
        """Write a small file in one atomic step, replacing any earlier one. No other process may write to that name.

        Raises:
            StoreUnwritable: if the disk is full, a quota is reached, or the store is read-only.
        """
        with self.writing():
            self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            if not self.local:
                self.fs.pipe_file(path, data)
                return
            partial = Path(f"{path}.part")
            try:
                _write(partial, data)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)

    def manifest_bytes(self, stage: str, key: str) -> bytes:
        """Return the bytes of a stored manifest.

        Raises:
            FileNotFoundError: if there is none.
        """
        data: bytes = self.fs.cat_file(self.manifest_path(stage, key))
        return data

    def withdraw(self, stage: str, key: str, seen: bytes) -> None:
        """Remove a manifest so that a writer can replace it, unless it has changed since it was read as `seen`."""
        path = self.manifest_path(stage, key)
        with contextlib.suppress(FileNotFoundError):
            if not self.local:
                if self.fs.cat_file(path) == seen:
                    self.fs.rm_file(path)
                return
            taken = Path(f"{path}.{uuid.uuid4().hex}")  # a name that no other process looks at
            Path(path).rename(taken)
            if taken.read_bytes() != seen:
                with contextlib.suppress(FileExistsError):
                    os.link(taken, path)
            taken.unlink()

    def unpublish(self, stage: str, key: str) -> None:
        """Remove an artifact's manifest, so that it is recomputed when next needed. Its files become litter."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self.manifest_path(stage, key))

    def damaged(self, manifest: Manifest, what: str) -> DamagedArtifact:
        """Withdraw an artifact with a damaged file, unless it has been published anew; return the error to raise."""
        stage, key = manifest.stage, manifest.key
        with contextlib.suppress(FileNotFoundError, ValueError):
            seen = self.manifest_bytes(stage, key)
            if unseal(seen).attempt == manifest.attempt:
                return self.withdrawn(stage, key, seen, what)
        return DamagedArtifact(f"{stage}/{key}", what)

    def withdrawn(self, stage: str, key: str, seen: bytes, what: str) -> DamagedArtifact:
        """Do as `withdraw` if the store is writable; return the error to raise, which says whether it is."""
        try:
            self.withdraw(stage, key, seen)
        except OSError as error:
            return DamagedArtifact(f"{stage}/{key}", what, error.strerror or str(error))
        return DamagedArtifact(f"{stage}/{key}", what)

    def remove_attempt(self, prefix: str) -> None:
        """Delete an attempt's files, and its key's folder if that is then empty."""
        with contextlib.suppress(FileNotFoundError):
            if self.local or not has_magic(prefix):
                self.fs.rm(prefix, recursive=True)
            else:  # `rm` would read the path as a pattern
                for path in self.fs.find(prefix):
                    self.fs.rm_file(path)
        folder = Path(prefix).parent
        with contextlib.suppress(OSError):
            if self.local and not any(folder.iterdir()):
                folder.rmdir()

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the size in bytes of every file below a prefix, by relative path."""
        found = self.fs.find(prefix, detail=True)
        return {path.removeprefix(prefix + "/"): info["size"] for path, info in found.items()}

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Turn the OSErrors of a store that cannot be written into StoreUnwritable.

        Raises:
            StoreUnwritable: if the disk is full, a quota is reached, or the store is read-only.
        """
        try:
            yield
        except OSError as error:
            if error.errno not in _CANT_WRITE and not isinstance(error, PermissionError):
                raise
            raise StoreUnwritable(self.url, error.strerror or str(error)) from error

    def file_digest(self, path: str) -> str:
        """Return the SHA-256 (hex) of one stored file, reading it in pieces."""
        sha = hashlib.sha256()
        with self.fs.open(path, "rb") as file:
            while piece := file.read(2**20):
                sha.update(piece)
        return sha.hexdigest()

    def fault(self, manifest: Manifest, name: str) -> str | None:
        """Return what is wrong with a file that a manifest names, or None."""
        try:
            found = self.file_digest(f"{self.prefix(manifest)}/{name}")
        except FileNotFoundError:
            return f"{name} is missing"
        return None if found == manifest.files[name].digest else f"{name} has other bytes than were published"

    def check(self, manifest: Manifest, name: str) -> None:
        """Check that a file has the bytes that were published: once per process, and again after it has changed.

        A shard that the manifest does not name was all zeros: Zarr stores no such shard and reads none.

        Raises:
            DamagedArtifact: if the bytes differ; the artifact is then withdrawn if the store is writable.
        """
        mark = self._state(f"{self.prefix(manifest)}/{name}")
        if mark in _seen_right or name not in manifest.files:
            return
        fault = self.fault(manifest, name)
        if fault:
            raise self.damaged(manifest, fault)
        _seen_right.add(mark)

    def _state(self, path: str) -> tuple[str, int, int]:
        """Return (path, size, modification time); on an object store, where these are not cheap, (path, 0, 0)."""
        with contextlib.suppress(OSError):
            if self.local:
                found = os.stat(path)  # noqa: PTH116 - runs for every shard read: a Path costs more than the call
                return path, found.st_size, found.st_mtime_ns
        return path, 0, 0


def _write(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _link(partial: Path, path: Path, data: bytes) -> None:
    """Create `path` in one atomic step, or raise FileExistsError."""
    _write(partial, data)
    try:
        os.link(partial, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        partial.rename(path)  # still atomic; if two do this at the same moment, the later one wins
    partial.unlink(missing_ok=True)


def modified(info: dict[str, Any]) -> float:
    """Return the modification time in seconds, from an fsspec listing of any file system."""
    value = info.get("mtime") or info.get("LastModified") or info.get("created") or 0.0
    return value.timestamp() if isinstance(value, datetime) else float(value)
