"""A stage's artifact is computed once, never reported as cached if missing, and recomputed if its input changed."""

import time
from pathlib import Path

import numpy as np
import pytest
from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.flow import estimate_flow
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.prefect_tasks import task_of
from motion_adapt.tasks.runtime.stage import NotKeyed, stage
from motion_adapt.tasks.settings import FlowSettings

RUNS: list[str] = []


@stage("source", version=1)
def source(*, value: int, clip: NotKeyed[str], place: Place, out: ArtifactWriter) -> None:
    RUNS.append("source")
    out.append("x", np.full((3, 2), value, np.float32), ("time", "channel"))


@stage("doubled", version=1)
def doubled(
    first: Artifact, others: list[Artifact], *, factor: float, place: Place, out: ArtifactWriter
) -> None:
    RUNS.append("doubled")
    rows = place.open().open(first).array("x")[:] * factor
    for other in others:
        rows = rows + place.open().open(other).array("x")[:]
    out.append("x", rows, ("time", "channel"))


@flow
def chain(place: Place, clip: str = "a") -> tuple[list[str], Artifact]:
    first = task_of(source).submit(value=1, clip=clip, place=place)
    other = task_of(source).submit(value=2, clip=clip, place=place)
    last = task_of(doubled).submit(first, [other], factor=2.0, place=place)
    last.wait()
    return [future.state.name for future in (first, other, last)], last.result()


@pytest.fixture
def place(tmp_path: Path, prefect_server: None) -> Place:
    RUNS.clear()
    return Place(store=str(tmp_path / "store"), scratch=str(tmp_path / "scratch"), threads=1)


def test_a_second_run_recomputes_nothing_and_prefect_says_cached(place: Place) -> None:
    states, made = chain(place)
    assert states == ["Completed"] * 3
    assert sorted(RUNS) == ["doubled", "source", "source"]
    again, same = chain(place, clip="renamed")  # names are not part of the key
    assert again == ["Cached"] * 3
    assert same == made
    assert len(RUNS) == 3
    np.testing.assert_array_equal(place.open().open(made).array("x")[:], np.full((3, 2), 4, np.float32))


def test_a_deleted_artifact_is_recomputed_and_what_depends_on_it_is_not(place: Place) -> None:
    _, made = chain(place)
    store = place.open()
    store.delete(store.manifest(made))
    states, again = chain(place)
    assert states == ["Cached", "Cached", "Completed"]
    assert again.digest == made.digest
    assert RUNS.count("doubled") == 2
    assert chain(place)[0] == ["Cached"] * 3


def test_a_truncated_file_is_not_a_hit(place: Place) -> None:
    _, made = chain(place)
    store = place.open()
    shard = next(Path(store.prefix(store.manifest(made))).glob("x/c/*/*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    assert "damaged" in store.lookup(doubled_recipe(store, made)).why
    assert chain(place)[0] == ["Cached", "Cached", "Completed"]


def test_what_depends_on_an_input_with_other_bytes_is_recomputed(place: Place) -> None:
    _, made = chain(place)
    store = place.open()
    recipe = doubled_recipe(store, made)
    first = recipe.inputs["first"]
    changed = first.model_copy(update={"digest": "0" * 64})
    stale = type(recipe)(recipe.stage, recipe.version, recipe.settings, {**recipe.inputs, "first": changed})
    assert store.lookup(stale).why == "its input 'first' has other bytes now"


def test_only_stages_that_compute_on_the_device_need_the_gpu() -> None:
    def asks(estimator: str) -> bool:
        settings = FlowSettings(estimator=estimator, weights="C_T_V1")  # type: ignore[arg-type]
        return estimate_flow.uses_gpu({"settings": settings})

    assert (asks("raft_large"), asks("dis")) == (True, False)
    assert not source.uses_gpu({})


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
def the_same_twice(place: Place) -> list[Artifact]:
    futures = [task_of(slow).submit(value=1, place=place) for _ in range(2)]
    return [future.result() for future in futures]


@stage("slow", version=1)
def slow(*, value: int, place: Place, out: ArtifactWriter) -> None:
    RUNS.append(place.scratch)
    until = time.monotonic() + 60
    while place.patience == 0 and len(RUNS) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    out.summary = {"value": value}


def test_an_artifact_requested_twice_at_once_is_computed_once(place: Place) -> None:
    first, second = the_same_twice(place)
    assert first == second
    assert len(RUNS) == 1 and RUNS[0] == place.scratch


def test_after_its_patience_a_process_uses_its_own_scratch_folder(place: Place) -> None:
    first, second = the_same_twice(place.model_copy(update={"patience": 0.0}))
    assert (first.key, first.digest) == (second.key, second.digest)
    assert place.open().manifest(first).artifact in (first, second)  # one of the two is published completely
    assert not list(place.open().verify())
    assert len(set(RUNS)) == 2 and place.scratch in RUNS


def test_the_body_runs_without_a_flow(tmp_path: Path) -> None:
    place = Place(store=str(tmp_path / "store"), scratch=str(tmp_path), threads=1)
    made = source.make(value=3, clip="a", place=place)
    assert source.make(value=3, clip="b", place=place) == made


def doubled_recipe(store: ArtifactStore, made: Artifact):  # type: ignore[no-untyped-def]
    from motion_adapt.storage.keys import Recipe

    manifest = store.manifest(made)
    return Recipe(manifest.stage, manifest.version, manifest.settings, manifest.inputs)
