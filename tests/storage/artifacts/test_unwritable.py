"""A full disk or a read-only store gives one clear error, and no partial artifact is visible or left behind."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from motion_adapt.storage.artifacts.files import StoreUnwritable
from motion_adapt.storage.artifacts.run_records import recorded_runs
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.keys import Recipe

WRITE = """
import os, pickle, resource, sys
import numpy as np
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.artifacts.files import DamagedArtifact, StoreUnwritable
from motion_adapt.storage.keys import Artifact, Recipe
from motion_adapt.storage.artifacts.run_records import RunRecord

store, kind, limit = ArtifactStore(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
elif os.getuid() == 0:
    os.setuid(65534)  # leave to write is nothing to root
try:
    if kind == "read":
        frames = Artifact(stage="frames", key=Recipe("frames", 1).key, attempt="", digest="")
        store.open(frames).read("note")
    elif kind == "record":
        RunRecord(store, "adapt", "clips" * 2**16).write([], ended=True)
    else:
        with store.write(Recipe("flow", 1, {"kind": kind})) as out:
            if kind == "array":
                noise = np.random.default_rng(0).integers(0, 256, (64, 4096), dtype=np.uint8)
                out.append("x", noise, ("time", "channel"))
            if kind == "file":
                out.put("x", bytes(2**18))
            out.summary["text"] = "x" * 2**18 * (kind == "manifest")
except (StoreUnwritable, DamagedArtifact) as error:
    print(pickle.loads(pickle.dumps(error)))
"""


@pytest.fixture
def store() -> Iterator[ArtifactStore]:
    """Return a store with one artifact, in a folder that every user of the machine may read."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        store = ArtifactStore(Path(folder) / "store")
        with store.write(Recipe("frames", 1)) as out:
            out.put("note", b"x")
        yield store


def write(store: ArtifactStore, kind: str, limit: int) -> str:
    command = [sys.executable, "-c", WRITE, store.url, kind, str(limit)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["array", "file", "manifest"])
def test_a_full_disk_leaves_nothing_behind(store: ArtifactStore, kind: str) -> None:
    told = write(store, kind, 2**16)
    assert told.startswith(f"the store {store.url} can't be written: File too large. ")
    assert "run the same command again" in told and told.count("\n") == 1
    assert [manifest.stage for manifest in store.manifests()] == ["frames"]
    assert list(store.litter(-1)) == list(store.verify()) == []
    assert write(store, kind, 2**30) == ""  # there is space again
    assert store.find(Recipe("flow", 1, {"kind": kind}))


def test_a_read_only_store_is_reported(store: ArtifactStore) -> None:
    Path(store.root).chmod(0o555)
    assert "can't be written: Permission denied. " in write(store, "file", 0)
    assert store.open(store.resolve("frames/")).read("note") == b"x"
    assert [path.name for path in Path(store.root).iterdir()] == ["frames"]


def test_a_full_disk_leaves_no_partial_run_record(store: ArtifactStore) -> None:
    assert "can't be written: File too large. " in write(store, "record", 2**16)
    assert not list((Path(store.root) / "_runs").iterdir())
    assert write(store, "record", 2**30) == ""
    assert [run.command for run in recorded_runs(store)] == ["adapt"]


@pytest.mark.parametrize("name", ["note", "manifest"])
def test_damage_that_cannot_be_withdrawn_is_reported(store: ArtifactStore, name: str) -> None:
    [manifest] = store.manifests()
    path = Path(store.prefix(manifest)) / "note"
    if name == "manifest":
        path = Path(store.manifest_path(manifest.stage, manifest.key))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    for folder in [Path(store.root), *Path(store.root).rglob("*")]:
        folder.chmod(0o555 if folder.is_dir() else 0o444)
    told = write(store, "read", 0)
    assert told.startswith(f"artifact {manifest.artifact} is damaged: ")
    assert "It could not be withdrawn (Permission denied): " in told and "verify --withdraw" in told


def test_a_store_path_below_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritable, match="Not a directory"):
        ArtifactStore(tmp_path / "file" / "store").write(Recipe("flow", 1)).__enter__()
