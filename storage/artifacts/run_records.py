"""Which artifacts each run needed, and so what pruning may take.

One small JSON file per run beside the artifacts, `<store>/_runs/<time>-<id>.json`, written as the run goes.
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
    """A run that has ended, or one that is under way or was cut off."""

    name: str
    command: str
    source: str
    artifacts: tuple[Artifact, ...]
    ended: bool = True


class RunRecord:
    """What a run has needed so far: one file, which each `write` replaces whole."""

    def __init__(self, store: ArtifactStore, command: str, source: str) -> None:
        self._store, self._says = store, {"command": command, "source": source}
        began = datetime.now(UTC)
        self._name = f"{began:%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}.json"  # two may begin within one second

    def write(self, artifacts: Iterable[Artifact], *, ended: bool) -> None:
        """Remember these artifacts in place of those of the last time.

        Raises:
            StoreUnwritable: where the store takes no more.
        """
        unique = {str(artifact): artifact for artifact in artifacts}
        needed = [artifact.model_dump() for _, artifact in sorted(unique.items())]
        record = {**self._says, "ended": ended, "artifacts": needed}
        self._store.put_whole(_path(self._store, self._name), json.dumps(record).encode())


def recorded_runs(store: ArtifactStore) -> list[RecordedRun]:
    """All recorded runs, the latest first.

    Raises:
        ValueError: for a damaged record, since pruning without it could delete what is needed.
    """
    runs = []
    for name in reversed(_records(store)):
        try:
            runs.append(_read(store, name))
        except ValueError as error:
            raise ValueError(f"the run record {_path(store, name)} is damaged: {error}") from error
    return runs


def latest(runs: Iterable[RecordedRun], keep: int) -> list[RecordedRun]:
    """The last `keep` runs that have ended, and the last `keep` that have not: the latter may go on."""
    kept: dict[bool, list[RecordedRun]] = {True: [], False: []}
    for run in runs:
        if len(kept[run.ended]) < keep:
            kept[run.ended].append(run)
    return kept[True] + kept[False]


def damaged_runs(store: ArtifactStore) -> Iterator[tuple[str, str]]:
    """The damaged records: (file, what is wrong and what to do)."""
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
        ended = record.get("ended", True)  # records were once written at the end alone
        return RecordedRun(name, record["command"], record["source"], artifacts, ended)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            "it does not say which artifacts that run needed. Run the same command again, which computes nothing "
            "that is stored and writes a new record, and delete this one"
        ) from error


def unneeded(
    store: ArtifactStore, *, runs: Iterable[RecordedRun], files: Collection[str] = (), older_than: float = 0.0
) -> Iterator[Manifest]:
    """Artifacts that are older than `older_than` seconds and no part of what is kept.

    Kept, with all that they were made of: the artifacts of `runs`; those that hold one of `files` (SHA-256: a
    champion's checkpoints); and the younger ones, which a run may need that has not recorded them yet.
    """
    manifests, now = list(store.manifests()), time.time()
    kept = [artifact for run in runs for artifact in run.artifacts]
    for manifest in manifests:
        age = now - datetime.fromisoformat(manifest.made["at"]).timestamp()
        if age < older_than or not set(files).isdisjoint(manifest.payload.values()):
            kept.append(manifest.artifact)
    needed = store.needed_by(kept)
    yield from (manifest for manifest in manifests if (manifest.stage, manifest.key) not in needed)
