"""The artifact store: every stage result, under a key computed from its inputs.

    <store>/<stage>/<key>/manifest.json        describes the artifact and names its attempt
    <store>/<stage>/<key>/<attempt>/...        a Zarr v3 group and plain files

An artifact is published whole or not at all. An attempt writes under a prefix of its own and is read back; only then
is the manifest that names it put in place, in one atomic step. Readers open only what a manifest names, so a killed
attempt leaves litter and never a result. Layout and order are the same on a local disk and on an object store, and so
are the guarantees.
"""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import zarr

from motion_adapt.storage.artifacts.arrays import decoded_digest
from motion_adapt.storage.artifacts.files import MANIFEST, DamagedArtifact, StoreFiles, modified
from motion_adapt.storage.artifacts.manifest import Manifest, unseal
from motion_adapt.storage.artifacts.reader import ArtifactReader
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact, Recipe

NOT_MADE = "not made yet"
LITTER_AGE = 24 * 3600.0  # seconds after which an attempt without a manifest is considered abandoned


@dataclass(frozen=True)
class Lookup:
    """Answer to `ArtifactStore.lookup`: the artifact, or None and the reason."""

    artifact: Artifact | None
    why: str


class ArtifactStore(StoreFiles):
    """A store at a local path or any fsspec URL (`s3://bucket/prefix`, `memory://...`).

    Invariant: an artifact exists if and only if its manifest does, and a manifest names only bytes that were
    written and read back before the manifest was.
    """

    # -------------------------------------------------------------------- asking

    def find(self, recipe: Recipe) -> Artifact | None:
        """Return the published artifact of a recipe, or None if it is missing, damaged or made from other inputs."""
        return self.lookup(recipe).artifact

    def lookup(self, recipe: Recipe) -> Lookup:
        """Like `find`, with the reason if there is no artifact. Checks manifest, input digests and file sizes."""
        try:
            manifest = self._read_manifest(recipe.stage, recipe.key)
        except FileNotFoundError:
            return Lookup(None, NOT_MADE)
        except ValueError as error:
            return Lookup(None, f"damaged: {error}")
        for name, wanted in recipe.input_digests.items():
            if manifest.inputs[name].digest != wanted:
                return Lookup(None, f"its input '{name}' has other bytes now")
        sizes = self.sizes(self.prefix(manifest))
        for name, entry in manifest.files.items():
            if sizes.get(name) != entry.size:
                return Lookup(None, f"damaged: {name} has {sizes.get(name, 'no')} of {entry.size} bytes")
        return Lookup(manifest.artifact, "published")

    def manifest(self, artifact: Artifact) -> Manifest:
        """Return the manifest of a published artifact.

        Raises:
            DamagedArtifact: if it is missing or damaged.
        """
        try:
            seen = self.manifest_bytes(artifact.stage, artifact.key)
        except FileNotFoundError:
            raise DamagedArtifact(str(artifact), "its manifest is gone") from None
        try:
            return unseal(seen)
        except ValueError as error:
            raise self.withdrawn(artifact.stage, artifact.key, seen, str(error)) from None

    def manifests(self, stage: str = "*") -> Iterator[Manifest]:
        """Yield the manifests of all published artifacts, by stage and key. Skips damaged ones; see `verify`."""
        for address in self.addresses(stage):
            with contextlib.suppress(ValueError, FileNotFoundError):
                yield self._read_manifest(*address)

    def read_manifest(self, stage: str, key: str) -> Manifest | None:
        """Return the manifest at an address; None if it is missing or damaged."""
        with contextlib.suppress(ValueError, FileNotFoundError):
            return self._read_manifest(stage, key)
        return None

    def resolve(self, text: str) -> Artifact:
        """Return the artifact named by `stage/key`, `key` or an unambiguous prefix of a key.

        Raises:
            KeyError: if no artifact or more than one matches.
        """
        stage, _, key = text.rpartition("/")
        found = [m.artifact for m in self.manifests(stage or "*") if m.key.startswith(key)]
        if len(found) != 1:
            raise KeyError(
                f"{len(found)} artifacts in {self.url} match '{text}'; 'motion-adapt store list' lists all"
            )
        return found[0]

    def explain(self, artifact: Artifact) -> Iterator[tuple[int, str, Manifest | None]]:
        """Yield the chain from an artifact back to its frames and weights: (depth, input name, manifest or None).

        The manifest is None if it is missing or damaged. An artifact that occurs again is listed without its inputs:
        a training reads all clips, and their chains have most artifacts in common.
        """
        pending: list[tuple[int, str, Artifact]] = [(0, "", artifact)]
        seen: set[str] = set()
        while pending:
            depth, name, ref = pending.pop()
            try:
                manifest = self._read_manifest(ref.stage, ref.key)
            except (FileNotFoundError, ValueError):
                yield depth, name or str(ref), None
                continue
            yield depth, name, manifest
            if str(ref) not in seen:
                pending += [(depth + 1, inner, item) for inner, item in reversed(manifest.inputs.items())]
            seen.add(str(ref))

    def needed_by(self, artifacts: Iterable[Artifact]) -> set[tuple[str, str]]:
        """Return (stage, key) of `artifacts` and of everything they were computed from."""
        needed: set[tuple[str, str]] = set()
        pending = [(artifact.stage, artifact.key) for artifact in artifacts]
        while pending:
            item = pending.pop()
            if item in needed:
                continue
            needed.add(item)
            with contextlib.suppress(FileNotFoundError, ValueError):
                pending += [(ref.stage, ref.key) for ref in self._read_manifest(*item).inputs.values()]
        return needed

    # -------------------------------------------------------------------- reading and writing

    def open(self, artifact: Artifact) -> ArtifactReader:
        """Open a published artifact."""
        return ArtifactReader(self, self.manifest(artifact))

    def write(
        self, recipe: Recipe, attempt: str | None = None, made: dict[str, Any] | None = None
    ) -> ArtifactWriter:
        """Begin an attempt at a recipe; `made` is added to the circumstances that the manifest records."""

        def publish(manifest: Manifest) -> Artifact:
            while not self.put_manifest(manifest):
                with contextlib.suppress(FileNotFoundError):
                    seen = self.manifest_bytes(recipe.stage, recipe.key)
                    if earlier := self.find(recipe):
                        return earlier
                    self.withdraw(recipe.stage, recipe.key, seen)  # damaged, or computed from other inputs
            return manifest.artifact

        return ArtifactWriter(
            self, recipe, attempt=attempt or uuid.uuid4().hex, made=made or {}, publish=publish
        )

    # -------------------------------------------------------------------- keeping

    def verify(
        self,
        stage: str = "*",
        progress: Callable[[Manifest], None] | None = None,
        *,
        withdraw: bool = False,
    ) -> Iterator[tuple[str, str]]:
        """Read every byte of every artifact; yield (artifact, what is wrong) for each fault.

        Changes nothing, except that `withdraw` withdraws what has a fault and has not been published anew since.
        """
        for address in self.addresses(stage):
            name = "/".join(address)
            try:
                seen = self.manifest_bytes(*address)
            except FileNotFoundError:
                continue  # not published, or deleted in the meantime
            try:
                manifest = unseal(seen)
            except ValueError as error:
                faults = [f"manifest: {error}"]
            else:
                faults = list(self._faults(manifest))
                if progress:
                    progress(manifest)
            yield from ((name, fault) for fault in faults)
            if faults and withdraw:
                self.withdraw(*address, seen)

    def litter(self, older_than: float = LITTER_AGE) -> Iterator[tuple[str, int]]:
        """Yield (prefix, bytes) of attempts that no manifest names and that are older than `older_than` seconds."""
        now = time.time()
        for stage, key in self.addresses():
            try:
                named = self._read_manifest(stage, key).attempt
            except (FileNotFoundError, ValueError):
                named = ""
            for attempt in self.names(stage, key, files=True):
                if attempt in (MANIFEST, named):
                    continue
                path = f"{self.root}/{stage}/{key}/{attempt}"
                files = list(self.fs.find(path, detail=True).values())
                newest = max((modified(info) for info in files), default=0.0)
                if now - newest > older_than:
                    yield path, sum(info["size"] for info in files)

    def delete(self, manifest: Manifest) -> None:
        """Delete an artifact, its manifest first, so that no reader ever sees only part of it."""
        self.unpublish(manifest.stage, manifest.key)
        self.remove_attempt(self.prefix(manifest))

    # -------------------------------------------------------------------- inside

    def _read_manifest(self, stage: str, key: str) -> Manifest:
        return unseal(self.manifest_bytes(stage, key))

    def _faults(self, manifest: Manifest) -> Iterator[str]:
        faults = [fault for name in manifest.files if (fault := self.fault(manifest, name))]
        yield from faults
        if faults:
            return
        store = self.zarr_store(self.prefix(manifest), read_only=True)
        for name, entry in manifest.arrays.items():
            if entry.stored and decoded_digest(zarr.open_array(store, path=name, mode="r")) != entry.digest:
                yield f"array {name} decodes to other values"
