"""Artifacts in the store are not recomputed; only those that are missing, damaged or made from other inputs are."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterName
from typer.testing import CliRunner

from motion_adapt.flows.cli.app import app
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.run.errors import RunError
from motion_adapt.models.networks.checkpoints import Checkpoint, read_checkpoint, save_checkpoint
from motion_adapt.models.training.state_file import StateFile
from motion_adapt.storage.artifacts.manifest import Manifest
from motion_adapt.storage.artifacts.run_records import recorded_runs
from motion_adapt.storage.registry import Registry
from motion_adapt.storage.tracking import KIND_TAG
from motion_adapt.tasks.runtime.prefect_records import damaged_records, record_key, record_path
from tests import needs
from tests.disks import room_for
from tests.flows.conftest import PLAIN, SETTINGS, Home, computed
from tests.flows.test_adapt import STAGES

JUDGED_BY_LABELS = {"scores", "selection-scores"}


def artifact(home: Home, stage: str) -> Manifest:
    return next(iter(home.store.manifests(stage)))


def flip_a_byte(path: Path, place: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if place is None else place] ^= 0x10
    path.write_bytes(data)


def test_a_second_run_computes_nothing_and_adds_nothing_to_mlflow(again: Home) -> None:
    # The store is a copy, but the tracking database is empty: this run is new to MLflow.
    first = again.adapt()
    assert first.recomputed == 0
    tracker = again.tracker
    runs = tracker.client.search_runs([tracker.experiment_id])
    points = {run.info.run_id: run.data.metrics for run in runs}
    second = again.adapt(name="second")
    assert second.recomputed == 0
    assert {name: count["cached"] for name, count in second.stages.items()} == {**STAGES, "weights": 6}
    assert (second.rounds, second.final, second.clips) == (first.rounds, first.final, first.clips)
    after = tracker.client.search_runs([tracker.experiment_id])
    assert {run.info.run_id: run.data.metrics for run in after} == points
    assert {run.info.status for run in after} == {"FINISHED"}
    assert len(tracker.client.search_model_versions(f"name = '{Registry(tracker).model}'")) == 2
    check_the_table_in_prefect("second", second)


def check_the_table_in_prefect(run: str, report: Report) -> None:
    """The clips with their J in each round, the worst first, then the mean."""
    with get_client(sync_client=True) as client:
        found, *_ = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["rounds-clips"])),
            flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[run])),
        )
    assert isinstance(found.data, str)
    *clips, mean = json.loads(found.data)
    assert [row["clip"] for row in clips] == sorted(report.clips, key=lambda name: report.clips[name]["J"])
    assert mean["clip"] == "mean"
    for index, item in enumerate(report.rounds):
        assert mean[f"round {index}"] == pytest.approx(item["metrics"]["final/J"])


def test_a_deleted_artifact_is_computed_again_and_nothing_else(again: Home) -> None:
    gone = artifact(again, "flow")
    before = again.digests()
    again.store.delete(gone)
    assert computed(again.adapt()) == {"flow": 1}
    assert again.digests() == before


def test_a_flipped_byte_is_found_withdrawn_and_computed_again(again: Home) -> None:
    damaged = artifact(again, "proposal")
    before = again.digests()
    flip_a_byte(again.file_of(damaged, "masks/c/0/0/0/0"))
    command = ["store", "verify", "--store", again.place.store]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 1
    assert f"{damaged.artifact}: masks/c/0/0/0/0 has other bytes" in found.output
    assert CliRunner().invoke(app, [*command, "--withdraw"]).exit_code == 1
    assert CliRunner().invoke(app, command).exit_code == 0
    assert computed(again.adapt()) == {"proposal": 1}
    assert again.digests() == before


def test_damage_found_in_a_run_is_repaired_within_the_run(again: Home) -> None:
    before = again.digests()
    corrections = {manifest.key: manifest for manifest in again.store.manifests("correction")}
    for smoothed in again.store.manifests("smoothing"):
        damaged = corrections[smoothed.inputs["correction"].key]
        if damaged.inputs["weights"].stage == "adapted-corrector":
            break
    flip_a_byte(again.file_of(damaged, "probabilities/c/0/0/0/0"))
    flow = next(m for m in again.store.manifests("flow") if m.inputs["frames"] == damaged.inputs["frames"])
    flip_a_byte(again.file_of(flow, "flow/c/0/0/0/0"))
    again.store.delete(smoothed)
    trained = artifact(again, "adapted-corrector")
    labels = {manifest.key: manifest for manifest in again.store.manifests("pseudo-labels")}
    for name, made in trained.inputs.items():
        if name.startswith("labels"):
            flip_a_byte(again.file_of(labels[made.key], "masks/c/0/0/0/0"))
    again.store.delete(trained)
    met = again.adapt()
    assert not met.set_aside
    assert again.digests() == before
    assert {"correction": 1, "smoothing": 1, "pseudo-labels": 2, "adapted-corrector": 1}.items() <= computed(
        met
    ).items()
    told = [text for text in met.warnings if "was damaged" in text and "has other bytes" in text]
    assert any(str(damaged.artifact) in text for text in told)
    assert len(told) >= 3
    assert again.adapt().recomputed == 0


@pytest.mark.slow
def test_a_damaged_record_of_prefect_is_reported_and_written_again(again: Home) -> None:
    again.adapt()
    made = artifact(again, "correction")
    path = record_path(record_key(made.artifact))
    whole = path.read_bytes()
    for place in (3, len(whole) // 2, len(whole) - 20):
        data = bytearray(whole)
        data[place] ^= 0x01
        path.write_bytes(data)
        assert [str(file) for file, _ in damaged_records(again.store)] == [str(path)]
    command = ["store", "verify", "--store", again.place.store]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 1
    assert str(path.name) in found.output.replace("\n", "")
    report = again.adapt()
    assert report.recomputed == 0
    assert any(f"Prefect's record of {made.artifact} was damaged" in text for text in report.warnings)
    assert path.read_bytes() == whole
    assert not again.adapt().warnings


def test_a_changed_byte_of_a_training_state_is_reported_and_withdrawn(again: Home) -> None:
    state = StateFile(Path(again.place.scratch) / "adapted-corrector-0.pt")
    for step in (1, 2):
        state.write({"step": step})
    command = ["store", "verify", "--store", again.place.store]
    assert CliRunner().invoke(app, command).exit_code == 0
    state.path.unlink()  # a kill between two renames leaves only the previous state
    flip_a_byte(state.previous, -1)
    found = CliRunner().invoke(app, [*command, "--withdraw"])
    assert found.exit_code == 1
    assert f"training state {state.previous}: its seal is missing" in found.output.replace("\n", "")
    assert not state.previous.exists()
    assert CliRunner().invoke(app, command).exit_code == 0


def test_earlier_masks_of_a_clip_that_is_set_aside_are_moved_away(again: Home) -> None:
    again.segment()
    old = sorted(path.read_bytes() for path in (again.output / "masks" / "heron").iterdir())
    (again.clips / "JPEGImages" / "480p" / "heron" / "00003.jpg").write_bytes(b"")
    report = again.segment()
    assert set(report.set_aside) == {"heron"}
    assert any(text.startswith("heron: the results of an earlier run were moved") for text in report.warnings)
    for kind, suffix in (("masks", ""), ("overlays", ".mp4"), ("strips", ".png")):
        assert not (again.output / kind / f"heron{suffix}").exists()
        assert (again.output / kind / f"tram [raw]{suffix}").exists()
    moved = again.output / "earlier" / "masks" / "heron"
    assert sorted(path.read_bytes() for path in moved.iterdir()) == old


def test_a_full_disk_ends_a_run_and_sets_no_clip_aside(again: Home) -> None:
    again.segment()
    before = {path: path.read_bytes() for path in again.output.rglob("*") if path.is_file()}
    for flow in list(again.store.manifests("flow")):
        again.store.delete(flow)
    with (
        room_for(2**16),  # less than any flow of these clips
        pytest.raises(RunError, match=r"can't be written: File too large\..* free some space"),
    ):
        again.segment()
    assert {path: path.read_bytes() for path in again.output.rglob("*") if path.is_file()} == before
    assert computed(again.segment()) == {"flow": 2}


@needs.crf
def test_another_crf_setting_recomputes_final_masks_and_what_follows(again: Home) -> None:
    crf = SETTINGS.model_validate({**SETTINGS.model_dump(), "crf": {"enabled": True, "iterations": 1}})
    report = again.adapt(settings=crf)
    # Masks that a clip keeps are the same in both rounds.
    finals = 4 - round(2 * report.rounds[1]["metrics"]["earlier_masks"])
    assert computed(report) == {"final": finals, "pictures": 2, "scores": finals}


def test_a_changed_frame_recomputes_only_its_clip_before_the_round(again: Home) -> None:
    frame = again.clips / "JPEGImages" / "480p" / "heron" / "00003.jpg"
    with Image.open(frame) as image:
        changed = np.array(image)
    changed[20:40, 20:40] = 255 - changed[20:40, 20:40]
    Image.fromarray(changed).save(frame)
    assert computed(again.adapt(rounds=0)) == {
        "frames": 1, "flow": 1, "features": 2, "proposal": 1, "selection": 1, "correction": 1, "quality": 1,
        "selection-scores": 1, "scores": 7, "final": 1, "pictures": 1, "smoothing": 1, "second-opinion": 1,
        "clip-network": 1, "edges": 1, "doubt": 1,
    }  # fmt: skip


def test_before_the_round_only_new_clips_are_computed(again: Home) -> None:
    folder = again.clips / "JPEGImages" / "480p"
    (folder / "new").mkdir()
    for frame in sorted((folder / "heron").iterdir())[:3]:
        shutil.copy(frame, folder / "new")
    shutil.rmtree(folder / "tram [raw]")
    report = again.adapt(rounds=0)
    assert set(report.clips) == {"heron", "new"}
    assert not report.set_aside
    assert computed(report) == {
        "frames": 1, "flow": 1, "features": 2, "proposal": 1, "selection": 1, "correction": 1, "quality": 1,
        "final": 1, "pictures": 1, "smoothing": 1, "second-opinion": 1, "clip-network": 1, "edges": 1,
        "doubt": 1,
    }  # fmt: skip


def test_other_names_recompute_nothing(again: Home) -> None:
    for kind in ("JPEGImages", "Annotations"):
        folder = again.clips / kind / "480p"
        (folder / "heron").rename(folder / "zebra")  # now last in the list of clips
    again.clips.rename(again.path / "moved")
    report = again.adapt(source=str(again.path / "moved"))
    assert report.recomputed == 0
    assert set(report.clips) == {"zebra", "tram [raw]"}
    assert {path.name for path in (again.output / "masks").iterdir()} == {"zebra", "tram [raw]"}


def test_without_annotations_nothing_is_computed_again(again: Home) -> None:
    shutil.rmtree(again.clips / "Annotations")
    assert computed(again.adapt()) == {"shots": 2}  # clips with annotations are never split


@pytest.mark.slow
def test_annotations_change_no_mask_and_no_checkpoint(adapted: tuple[Home, Report], home: Home) -> None:
    first, _ = adapted
    shutil.rmtree(home.clips / "Annotations")
    report = home.adapt()
    assert set(report.clips) == {"heron", "tram [raw]"}
    assert not JUDGED_BY_LABELS & report.stages.keys()
    assert report.unscored == ["heron", "tram [raw]"]
    others = JUDGED_BY_LABELS | {"shots"}  # clips with annotations are never split
    made, with_labels = ({item for item in one.digests() if item[0] not in others} for one in (home, first))
    assert made == with_labels


@pytest.mark.parametrize("stage", ["frames", "final"])
def test_a_store_explains_where_a_mask_comes_from(adapted: tuple[Home, Report], stage: str) -> None:
    home, _ = adapted
    wanted = artifact(home, stage)
    shown = CliRunner().invoke(app, ["store", "explain", str(wanted.artifact), "--store", home.place.store])
    assert shown.exit_code == 0
    names = {"frames"} if stage == "frames" else {"final", "correction", "selection", "weights", "frames"}
    assert all(name in shown.output for name in names), shown.output


def test_an_adaptation_that_ends_in_an_error_is_marked_failed_and_can_be_resumed(
    again: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("motion_adapt.flows.adapt.go_through_rounds", fail)
        with pytest.raises(RunError, match="disk on fire"):
            again.adapt()
    tracker = again.tracker
    (parent,) = tracker.client.search_runs([tracker.experiment_id], f"tags.`{KIND_TAG}` = 'adaptation'")
    assert parent.info.status == "FAILED"
    cut_off = recorded_runs(again.store)[0]
    assert not cut_off.ended
    assert {"frames", "weights", "flow", "correction"} < {artifact.stage for artifact in cut_off.artifacts}
    again.adapt()
    assert [run.ended for run in recorded_runs(again.store)[:2]] == [True, False]
    assert tracker.get(parent.info.run_id).info.status == "FINISHED"
    assert len(tracker.rounds()) == 2


@pytest.mark.parametrize("stage", ["add_flow", "add_features"])
def test_an_adaptation_that_fails_before_its_first_round_is_marked_failed(
    again: Home, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(f"motion_adapt.flows.adapt.{stage}", fail)
    with pytest.raises(RunError, match="disk on fire"):
        again.adapt()
    (parent,) = again.tracker.adaptations()
    assert parent.info.status == "FAILED"


@pytest.mark.slow
def test_a_resumed_run_from_the_champion_keeps_its_own_start(
    again: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervised = shutil.copytree(again.weights, again.path / "supervised")
    corrector = read_checkpoint(supervised / "corrector.safetensors")
    training = {"on": "annotations", "steps": 1}
    labelled = Checkpoint(corrector.model, {**corrector.settings, "training": training}, corrector.tensors)
    save_checkpoint(supervised / "corrector.safetensors", labelled)

    plain = {"rounds": 0, "settings": PLAIN}
    champion = again.adapt(weights=str(supervised), **plain).rounds[0]["weights"]
    from_champion = {"weights": None, "from_champion": True, **plain}
    with monkeypatch.context() as broken:
        broken.setattr("motion_adapt.flows.adapt.go_through_rounds", fail)
        with pytest.raises(RunError, match="disk on fire"):
            again.adapt(**plain)  # the same request with other weights
        with pytest.raises(RunError, match="disk on fire"):
            again.adapt(**from_champion)
    goes_on = again.adapt(**from_champion)
    assert goes_on.rounds[0]["weights"] == champion
    assert any("corrector was trained with annotations" in text for text in goes_on.warnings)
    assert len(again.tracker.adaptations()) == 3


def fail(*_: object) -> None:
    raise RunError("disk on fire")
