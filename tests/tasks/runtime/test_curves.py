"""An interrupted training loses no step and no point of its curve, even if interrupted during publication."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from motion_adapt.models.networks.checkpoints import Checkpoint, weights_of
from motion_adapt.models.training.course import Course, Schedule
from motion_adapt.models.training.loop import train
from motion_adapt.models.training.state_file import StateFile
from motion_adapt.storage.artifacts.files import StoreUnwritable
from motion_adapt.storage.artifacts.manifest import Manifest
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact, digest
from motion_adapt.tasks.runtime.curves import Curve, curve_file, read_curve
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.prefect_tasks import task_of
from motion_adapt.tasks.runtime.stage import NotKeyed, stage
from motion_adapt.tasks.training import training
from tests.disks import room_for

STEPS = 6
TRAINED: list[int] = []


@stage("trained", version=1)
def trained(*, notes: NotKeyed[str], dies_at: NotKeyed[int], place: Place, out: ArtifactWriter) -> None:
    """Train, saving the state after every second step; die before step `dies_at` is saved."""
    with training(place, out, Course(steps=STEPS, checkpoint_every=2)) as (course, publish):

        def step_done(step: int, terms: dict[str, float]) -> None:
            TRAINED.append(step)
            course.on_step(step, terms)
            if step == dies_at:
                raise KeyboardInterrupt

        torch.manual_seed(0)
        module = nn.Linear(2, 1)
        train(
            module,
            lambda step, rng: {"x": rng.standard_normal((4, 2)).astype(np.float32)},
            lambda module, batch: (found := (module(batch["x"]) ** 2).mean(), {"mse": found}),
            replace(course, on_step=step_done),
            schedule=Schedule(1e-2),
        )
        publish(Checkpoint("oclr", {"network": {}}, weights_of(module)))
    out.summary["notes"] = notes


@pytest.fixture
def place(tmp_path: Path) -> Place:
    TRAINED.clear()
    return Place(store=str(tmp_path / "store"), scratch=str(tmp_path / "scratch"), device="cpu", threads=1)


def run(place: Place, *, notes: str = "", dies_at: int = STEPS) -> Artifact:
    made: Artifact = trained.make(notes=notes, dies_at=dies_at, place=place)
    return made


def state_of(place: Place) -> Path:
    return place.training_state(trained.recipe({"place": place}))


def left(place: Place) -> list[Path]:
    return [path for path in Path(place.scratch).rglob("*") if path.is_file()]


def published(place: Place, artifact: Artifact) -> tuple[Any, ...]:
    manifest: Manifest = place.open().manifest(artifact)
    return manifest.digest, manifest.summary["curves"]


def test_a_training_that_could_not_be_published_is_not_trained_again(place: Place) -> None:
    with room_for(2**18), pytest.raises(StoreUnwritable):
        run(place, notes="x" * 2**19)  # nothing but the manifest is too large
    saved = StateFile(state_of(place)).read()
    assert saved is not None and saved["step"] == STEPS
    made = run(place)
    assert list(range(STEPS)) == TRAINED
    steps = [step for step, _ in place.open().manifest(made).summary["curves"]["loss"]]
    assert steps == list(range(1, STEPS + 1))
    assert not left(place)


def test_files_left_by_a_kill_after_publication_are_deleted(place: Place, prefect_server: None) -> None:
    made = run(place)
    state_of(place).write_bytes(b"x")
    curve_file(state_of(place)).write_bytes(b"x")
    with place.alone(trained.recipe({"place": place}), "another"):  # a running training keeps its files
        assert task_of(trained)(notes="", dies_at=STEPS, place=place) == made
        assert state_of(place).exists() and curve_file(state_of(place)).exists()
    assert task_of(trained)(notes="", dies_at=STEPS, place=place) == made
    assert list(range(STEPS)) == TRAINED
    assert not left(place)


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_an_incomplete_point_is_written_again(place: Place, tmp_path: Path, cut: int) -> None:
    undisturbed = place.model_copy(
        update={"store": str(tmp_path / "other"), "scratch": str(tmp_path / "more")}
    )
    wanted = published(undisturbed, run(undisturbed))
    TRAINED.clear()
    with pytest.raises(KeyboardInterrupt):
        run(place, dies_at=2)  # the state has two steps, the curve three
    curve = curve_file(state_of(place))
    curve.write_bytes(curve.read_bytes()[:-cut])
    assert published(place, run(place)) == wanted
    assert TRAINED == [0, 1, 2, 2, 3, 4, 5]


def test_values_that_are_not_finite_are_left_out_of_a_published_curve(tmp_path: Path) -> None:
    curve = Curve(tmp_path / "training.curve", 2)
    curve.add(0, {"loss": float("nan"), "rate": 0.1, "validation": float("inf")})
    curve.add(1, {"loss": 2.0, "rate": 0.1, "validation": float("-inf")})
    found = read_curve(curve.path)
    assert found == {"rate": [[1, 0.1], [2, 0.1]], "loss": [[2, 2.0]]}
    digest(found)  # as for a summary: would fail on values that are not finite
