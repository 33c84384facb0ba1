"""Weights, records and experiments of the time before the rooms and the one import name are found as they were.

`before_the_rooms.tar.xz` holds an adaptation to a clip of three frames as commit f0cc234 made it: clips, weights, the
tracking database, and its store from frames to selection.
"""

import json
import shutil
import tarfile
from pathlib import Path

import mlflow
import pytest
from packaging.version import Version

from motion_adapt.flows.reports.compare import compare_rounds
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.checkpoints import keep_weights
from motion_adapt.tasks.features import extract_features
from motion_adapt.tasks.flow import estimate_flow
from motion_adapt.tasks.frames import decode
from motion_adapt.tasks.proposal import propose
from motion_adapt.tasks.runtime.prefect_records import record_key, record_path
from motion_adapt.tasks.selection import select
from tests.flows.conftest import Home

STAGES = (decode, keep_weights, estimate_flow, extract_features, propose, select)
VERSIONS = {stage.name: stage.version for stage in STAGES}


@pytest.fixture
def old_home(tmp_path: Path, prefect_server: None) -> Home:
    with tarfile.open(Path(__file__).with_name("before_the_rooms.tar.xz")) as archive:
        archive.extractall(tmp_path, filter="data")
    return Home(tmp_path, tmp_path / "weights")


def still_valid(store: ArtifactStore, artifact: Artifact) -> bool:
    """Return whether no stage leading to an artifact has a newer version."""
    if artifact.stage not in VERSIONS:  # a stage of the round, which the archive leaves out
        return False
    manifest = store.manifest(artifact)
    return VERSIONS[manifest.stage] == manifest.version and all(
        still_valid(store, made_of) for made_of in manifest.inputs.values()
    )


def write_old_record(artifact: Artifact) -> Path:
    """Write Prefect's record of an artifact as under the earlier import name."""
    path = record_path(record_key(artifact))
    path.parent.mkdir(parents=True, exist_ok=True)
    serializer = {
        "type": "json",
        "jsonlib": "json",
        "object_encoder": "prefect.serializers.prefect_json_object_encoder",
        "object_decoder": "prefect.serializers.prefect_json_object_decoder",
        "dumps_kwargs": {},
        "loads_kwargs": {},
    }
    metadata = {
        "storage_key": str(path),
        "expiration": None,
        "serializer": serializer,
        "prefect_version": "3.9.1",
        "storage_block_id": None,
    }
    result = json.dumps({"__class__": "storage.keys.Artifact", "data": artifact.model_dump()})
    path.write_text(json.dumps({"metadata": metadata, "result": result}), encoding="utf-8")
    return path


def test_weights_of_an_old_store_are_found_and_their_records_rewritten(old_home: Home) -> None:
    store = old_home.store
    valid = [m.artifact for m in store.manifests() if still_valid(store, m.artifact)]
    assert {artifact.stage for artifact in valid} == {"weights"}  # the others are newer
    records = [write_old_record(artifact) for artifact in valid]
    shutil.rmtree(old_home.path / "clips" / "Annotations")
    report = old_home.segment()
    needed = {artifact.stage for artifact in valid}
    expected = {**dict.fromkeys(needed, 0), "weights": 1}  # the shared network is new since then
    assert {stage: report.stages[stage]["computed"] for stage in needed} == expected
    still = "nothing moves apart from the camera in 00000 to 00002; these frames propose nothing and teach nothing"
    assert report.warnings == [
        f"heron: {still}",
        "heron: no moving object was found; its masks are empty",
    ]
    rewritten = [path for path in records if path.exists() and "motion_adapt.storage" in path.read_text()]
    assert len(rewritten) == len(records)


@pytest.mark.skipif(
    Version(mlflow.__version__) < Version("3.17"),
    reason="an MLflow reads no database of a later one: it is of 3.17",
)
def test_an_old_experiment_is_found(old_home: Home) -> None:
    table = compare_rounds(old_home.tracking)
    assert list(table["round"]) == [0, 1]
    assert table["proposal/J"].notna().all()
