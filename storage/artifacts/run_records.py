"""Records of the artifacts that each run needed, which decide what pruning may delete.

Each run has one small JSON file in the store, `<store>/_runs/<time>-<id>.json`, which is updated as the run proceeds.
"""

import json
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from motion_adapt.storage.artifacts.manifest import Manifest
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.keys import Artifact

FOLDER = "_runs"


@dataclass(frozen=True)
class RecordedRun:
    """A recorded run; `ended` is False while it is under way and if it was interrupted."""

    name: str
    command: str
    source: str
    artifacts: tuple[Artifact, ...]
    ended: bool = True


class RunRecord:
    """Record of the artifacts a run has needed so far: one file, which each `write` replaces as a whole."""

    def __init__(self, store: ArtifactStore, command: str, source: str) -> None:
        self._store, self._says = store, {"command": command, "source": source}
        began = datetime.now(UTC)
        # Two may start at the same moment, hence the random part.
        self._name = f"{began:%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}.json"

    def write(self, artifacts: Iterable[Artifact], *, ended: bool) -> None:
        """Record these artifacts, replacing those written before.

        Raises:
            StoreUnwritable: if the store cannot be written.
        """
        unique = {str(artifact): artifact for artifact in artifacts}
        needed = [artifact.model_dump() for _, artifact in sorted(unique.items())]
        record = {**self._says, "ended": ended, "artifacts": needed}
        self._store.put_whole(_path(self._store, self._name), json.dumps(record).encode())


def recorded_runs(store: ArtifactStore) -> list[RecordedRun]:
    """Return all recorded runs, latest first.

    Raises:
        ValueError: if a record is damaged, because pruning without it could delete artifacts that are needed.
    """
    runs = []
    for name in reversed(_records(store)):
        try:
            runs.append(_read(store, name))
        except ValueError as error:
            raise ValueError(f"the run record {_path(store, name)} is damaged: {error}") from error
    return runs


def latest(runs: Iterable[RecordedRun], keep: int) -> list[RecordedRun]:
    """Return the first `keep` runs that have ended and the first `keep` that have not, which may still be resumed.

    `runs` come latest first, as from `recorded_runs`.
    """
    kept: dict[bool, list[RecordedRun]] = {True: [], False: []}
    for run in runs:
        if len(kept[run.ended]) < keep:
            kept[run.ended].append(run)
    return kept[True] + kept[False]


def damaged_runs(store: ArtifactStore) -> Iterator[tuple[str, str]]:
    """Yield (file, what is wrong and what to do) for each damaged record."""
    for name in _records(store):
        try:
            _read(store, name)
        except ValueError as error:
            yield _path(store, name), str(error)


def _records(store: ArtifactStore) -> list[str]:
    return [name for name in store.names(FOLDER, files=True) if name.endswith(".json")]


def _path(store: ArtifactStore, name: str) -> str:
    return f"{store.root}/{FOLDER}/{name}"


def _read(store: ArtifactStore, name: str) -> RecordedRun:
    try:
        record = json.loads(store.fs.cat_file(_path(store, name)))
        artifacts = tuple(Artifact.model_validate(item) for item in record["artifacts"])
        ended = record.get("ended", True)  # older records lack it: they were written only at the end of a run
        return RecordedRun(name, record["command"], record["source"], artifacts, ended)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            "it does not say which artifacts that run needed. Run the same command again, which recomputes nothing "
            "that is stored and writes a new record; then delete this one"
        ) from error


def unneeded(
    store: ArtifactStore, *, runs: Iterable[RecordedRun], files: Collection[str] = (), older_than: float = 0.0
) -> Iterator[Manifest]:
    """Yield the manifests of artifacts that nothing needs and that are older than `older_than` seconds.

    These are kept, with everything they were computed from: the artifacts of `runs`; artifacts that contain one of
    `files` (SHA-256 digests of a champion's checkpoints); and younger artifacts, which a run may need without having
    recorded them yet.
    """
    manifests, now = list(store.manifests()), time.time()
    kept = [artifact for run in runs for artifact in run.artifacts]
    for manifest in manifests:
        age = now - datetime.fromisoformat(manifest.made["at"]).timestamp()
        if age < older_than or not set(files).isdisjoint(manifest.payload.values()):
            kept.append(manifest.artifact)
    needed = store.needed_by(kept)
    yield from (manifest for manifest in manifests if (manifest.stage, manifest.key) not in needed)
