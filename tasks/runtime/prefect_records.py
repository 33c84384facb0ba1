"""Prefect's records of finished tasks, checked against the store before Prefect reads them.

A record is a small JSON file, `<results>/<stage>/<key>/<attempt>`, that names an artifact. It is never trusted: a
record that differs from what Prefect writes for that artifact is deleted, and its task runs and finds the artifact in
the store. So every flipped byte is noticed, and no file among the results makes Prefect unpickle anything.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefect.serializers import JSONSerializer
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH

from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.keys import Artifact

_CLASS = f"{Artifact.__module__}.{Artifact.__qualname__}"
_CLASS_BEFORE = "storage.keys.Artifact"  # before the four folders became parts of one package
_VERSION = re.compile(r"\d+\.\d+[\w.+-]*")


def record_path(key: str) -> Path:
    """Return the path of Prefect's record of a cache key on this machine."""
    return Path(PREFECT_LOCAL_STORAGE_PATH.value()).expanduser().resolve() / key


def record_key(artifact: Artifact) -> str:
    """Return the cache key of an artifact, which names its attempt."""
    return f"{artifact.stage}/{artifact.key}/{artifact.attempt}"


def record_fault(path: Path, artifact: Artifact) -> str | None:
    """Return what is wrong with the record at `path`, which should name `artifact`; None if it is right or missing.

    Raises:
        OSError: the record cannot be read.
    """
    return _examine(path, artifact)[0]


def drop_if_damaged(artifact: Artifact) -> str | None:
    """Delete the record of an artifact if it is damaged. Returns a message, or None if it was not.

    A record under the class's earlier import name is deleted without a message, since Prefect cannot load that class.
    Its task then runs, finds the artifact in the store and writes a new record.
    """
    path = record_path(record_key(artifact))
    fault, name = _examine(path, artifact)
    if fault or name == _CLASS_BEFORE:
        path.unlink(missing_ok=True)
    return f"Prefect's record of {artifact} was damaged: {fault}. It is written again." if fault else None


def _examine(path: Path, artifact: Artifact) -> tuple[str | None, str | None]:
    """Return (what is wrong, name of the class); both None if there is no record."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None, None
    try:
        record = json.loads(data)
        metadata, result = record["metadata"], json.loads(record["result"])
        version, name = metadata.pop("prefect_version"), result["__class__"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "it is not a record", None
    expected = {"__class__": name, "data": artifact.model_dump()}
    if name not in (_CLASS, _CLASS_BEFORE) or result != expected or record.keys() != {"metadata", "result"}:
        return "it names another artifact than the store has", None
    if metadata != _expected(path) or not _VERSION.fullmatch(str(version)):
        return "its description is not the one that was written there", name
    return None, name


def damaged_records(store: ArtifactStore, stage: str = "*") -> Iterator[tuple[Path, str]]:
    """Yield (file, what is wrong) for each damaged record of an artifact in the store."""
    for manifest in store.manifests(stage):
        path = record_path(record_key(manifest.artifact))
        fault = record_fault(path, manifest.artifact)
        if fault:
            yield path, fault


def _expected(path: Path) -> dict[str, Any]:
    """Return the metadata that Prefect writes for a record, except for Prefect's version."""
    return {
        "storage_key": str(path),
        "expiration": None,
        "serializer": JSONSerializer().model_dump(mode="json"),
        "storage_block_id": None,
    }
