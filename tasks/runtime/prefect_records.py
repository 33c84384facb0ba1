"""Prefect's records of finished tasks, compared with what the store vouches for before Prefect reads them.

A record is a small JSON file, `<results>/<stage>/<key>/<attempt>`, that names an artifact. It is never trusted:
one that is not word for word what Prefect writes for that artifact is dropped, and its task runs (and finds the
artifact in the store). So no flipped byte passes, and no file among the results makes Prefect unpickle anything.
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
_CLASS_BEFORE = "storage.keys.Artifact"  # until the four folders became parts of one package
_VERSION = re.compile(r"\d+\.\d+[\w.+-]*")


def record_path(key: str) -> Path:
    """Where Prefect keeps the record of a cache key on this machine."""
    return Path(PREFECT_LOCAL_STORAGE_PATH.value()).expanduser().resolve() / key


def record_key(artifact: Artifact) -> str:
    """The cache key of an artifact: it names the very attempt that made it."""
    return f"{artifact.stage}/{artifact.key}/{artifact.attempt}"


def record_fault(path: Path, artifact: Artifact) -> str | None:
    """What is wrong with the record at `path`, that should name `artifact`; None where all is right, or there is none.

    Raises:
        OSError: where it can't be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        record = json.loads(data)
        metadata, result = record["metadata"], json.loads(record["result"])
        version = metadata.pop("prefect_version")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "it is no record"
    named = [{"__class__": name, "data": artifact.model_dump()} for name in (_CLASS, _CLASS_BEFORE)]
    if result not in named or record.keys() != {"metadata", "result"}:
        return "it names another artifact than the store has"
    if metadata != _expected(path) or not _VERSION.fullmatch(str(version)):
        return "its description is not the one that was written there"
    return None


def drop_if_damaged(artifact: Artifact) -> str | None:
    """Delete the record of an artifact if it is damaged, and say so."""
    path = record_path(record_key(artifact))
    fault = record_fault(path, artifact)
    if fault is None:
        _drop_if_outdated(path)
        return None
    path.unlink(missing_ok=True)
    return f"Prefect's record of {artifact} was damaged: {fault}. It is written again."


def _drop_if_outdated(path: Path) -> None:
    """Delete a sound record that names the artifact's class by its earlier import name, which Prefect can't load.

    Its task runs, finds the artifact in the store and writes the record anew.
    """
    if path.exists() and json.loads(json.loads(path.read_bytes())["result"])["__class__"] == _CLASS_BEFORE:
        path.unlink(missing_ok=True)


def damaged_records(store: ArtifactStore, stage: str = "*") -> Iterator[tuple[Path, str]]:
    """Damaged records of what the store has: (file, what is wrong)."""
    for manifest in store.manifests(stage):
        path = record_path(record_key(manifest.artifact))
        fault = record_fault(path, manifest.artifact)
        if fault:
            yield path, fault


def _expected(path: Path) -> dict[str, Any]:
    """What Prefect writes about every record of ours, but its own version."""
    return {
        "storage_key": str(path),
        "expiration": None,
        "serializer": JSONSerializer().model_dump(mode="json"),
        "storage_block_id": None,
    }
