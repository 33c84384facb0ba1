"""Artifacts that a run finds damaged are recomputed within the run, with their inputs, a limited number of times."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.stage_execution import MENDINGS, Call, Making
from motion_adapt.storage.artifacts.files import DamagedArtifact
from motion_adapt.storage.artifacts.run_records import RunRecord, latest, recorded_runs, unneeded
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.runtime.gpu import gpu_to_itself
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import stage

DIMS = ("time", "channel")
RUNS: list[str] = []


@stage("first", version=1)
def first(*, value: int, place: Place, out: ArtifactWriter) -> None:
    RUNS.append("first")
    out.append("x", np.full((3, 2), value, np.float32), DIMS)


@stage("second", version=1)
def second(before: list[Artifact], *, place: Place, out: ArtifactWriter) -> None:
    RUNS.append("second")
    out.append("x", sum(place.open().open(item).array("x")[:] for item in before), DIMS)


@stage("third", version=1)
def third(before: Artifact, *, place: Place, out: ArtifactWriter) -> None:
    RUNS.append("third")
    out.append("x", place.open().open(before).array("x")[:] * 2, DIMS)


@stage("on-gpu", version=1, gpu=True)
def on_gpu(*, place: Place, out: ArtifactWriter) -> None:
    RUNS.append("on-gpu")


@stage("hopeless", version=1)
def hopeless(before: Artifact, *, place: Place, out: ArtifactWriter) -> None:
    RUNS.append("hopeless")
    place.open().unpublish(before.stage, before.key)
    raise DamagedArtifact(str(before), "the disk gives back anything")


class Inline(Making):
    """Runs a stage's body directly, because recomputing does not depend on Prefect."""

    def start(self, call: Call, arguments: Mapping[str, Any]) -> Any:
        try:
            result: Any = call.stage.make(**arguments)
        except Exception as error:
            result = error
        state = SimpleNamespace(message=None)
        return SimpleNamespace(
            wait=lambda: None, result=lambda raise_on_failure: result, state=state, task_run_id=None
        )


@pytest.fixture
def run(tmp_path: Path) -> Inline:
    RUNS.clear()
    return Inline(Place(store=str(tmp_path / "store"), scratch=str(tmp_path / "scratch"), threads=1))


def damage(run: Inline, artifact: Artifact) -> None:
    store = run.place.open()
    shard = next(Path(store.prefix(store.manifest(artifact))).glob("x/c/*/*"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 0x10
    shard.write_bytes(data)


def test_an_artifact_that_a_stage_finds_damaged_is_recomputed_and_the_stage_continues(run: Inline) -> None:
    parts = [run.once(first, f"part {value}", value=value) for value in (1, 2, 3)]
    for part in parts[:2]:
        damage(run, part)
    made = run.once(second, "sum", before=parts)
    assert RUNS.count("first") == 5
    np.testing.assert_array_equal(run.place.open().open(made).array("x")[:], np.full((3, 2), 6, np.float32))
    for part in parts[:2]:
        assert any(f"{part} was damaged (x/c/0/0 has other bytes" in text for text in run.warnings)
        assert run.place.open().manifest(part).digest == part.digest


def test_damaged_inputs_of_a_damaged_artifact_are_repaired_too(run: Inline) -> None:
    part = run.once(first, "part", value=1)
    middle = run.once(second, "sum", before=[part])
    damage(run, part)
    damage(run, middle)
    made = run.once(third, "twice", before=middle)
    assert RUNS == ["first", "second", "third", "second", "first", "second", "third"]
    assert run.place.open().open(made).array("x")[0][0] == 2
    assert len(run.warnings) == 2


def test_damage_found_outside_stages_is_repaired_too(run: Inline) -> None:
    part = run.once(first, "part", value=4)
    damage(run, part)
    values = run.read(lambda: run.place.open().open(part).array("x")[:])
    np.testing.assert_array_equal(values, np.full((3, 2), 4, np.float32))


def test_recomputing_ends_if_the_disk_damages_everything(run: Inline) -> None:
    part = run.once(first, "part", value=1)
    call = Call(hopeless, "hopeless", {"before": part, "place": run.place})
    assert isinstance(run.collect(call, run.submit(call)), DamagedArtifact)
    assert RUNS.count("first") == 1 + MENDINGS
    other = Artifact(stage="first", key="of another run", attempt="", digest="")
    with pytest.raises(DamagedArtifact):
        run.read(lambda: run.place.open().open(other))


def test_artifacts_that_a_running_run_needs_are_not_pruned(run: Inline) -> None:
    store = run.place.open()

    def needed() -> set[str]:
        made = {str(manifest.artifact) for manifest in store.manifests()}
        runs = latest(recorded_runs(store), 1)
        return made - {str(manifest.artifact) for manifest in unneeded(store, runs=runs)}

    first_part = run.once(first, "part", value=1)  # from a run without a record
    assert needed() == set()
    run.begin_record("pretrain", "synthetic clips")
    part = run.once(first, "part", value=2)
    assert needed() == {str(first_part), str(part)}
    for name in ("one", "another"):  # many short runs in the meantime
        RunRecord(store, "segment", name).write([], ended=True)
    made = run.once(third, "twice", before=part)
    assert needed() == {str(first_part), str(part), str(made)}
    assert [(record.command, record.ended) for record in latest(recorded_runs(store), 1)] == [
        ("segment", True),
        ("pretrain", False),
    ]
    run.end_record()
    assert {record.ended for record in recorded_runs(store)} == {True}
    assert len(recorded_runs(store)) == 3


def test_a_gpu_held_by_others_ends_the_run(
    run: Inline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = run.place.model_copy(update={"device": "cuda", "patience": 0.0})
    call = Call(on_gpu, "on a GPU", {"place": place})
    with gpu_to_itself("cuda", patience=0), pytest.raises(RunError, match="cuda was in use"):
        run.collect(call, run.submit(call))
    assert not RUNS
