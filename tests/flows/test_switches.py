"""The paper's variants on the command line: settings reach the stages, and checkpoints must agree with them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from motion_adapt.flows.adapt import adapt
from motion_adapt.flows.finetune_upsampler import WARNING, finetune_upsampler
from motion_adapt.flows.pretrain import given_features, pretrain, trains_features
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.run import Run
from motion_adapt.flows.run.start_weights import StartWeights, wanted
from motion_adapt.flows.run.weight_checks import SMOKE_STEPS, is_smoke
from motion_adapt.flows.segment import segment
from motion_adapt.models.networks.checkpoints import read_checkpoint, tensors_digest
from motion_adapt.models.networks.sizes import SIZES, STEP_SIZES
from motion_adapt.models.training.loop import VALIDATION_SEED
from motion_adapt.storage.artifacts.run_records import recorded_runs
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.settings import Settings
from tests.flows.conftest import FRAMES, PLAIN, SETTINGS, Home

TINY = {"features": 4, "width": 16, "num_heads": 2, "num_layers": 1, "dropout": 0.0}


def with_method(method: str) -> Settings:
    selection = PLAIN.selection.model_copy(update={"method": method})
    return PLAIN.model_copy(update={"selection": selection})


def test_the_selections_ap_is_a_metric_of_every_round(adapted: tuple[Home, Report]) -> None:
    home, report = adapted
    for item in report.rounds:
        assert 0 < item["metrics"]["selection/AP"] <= 1
    client = home.tracker.client
    runs = client.search_runs([home.tracker.experiment_id])
    assert sum("selection/AP" in run.data.metrics for run in runs) == 2
    for manifest in home.store.manifests("selection-scores"):
        assert manifest.summary["objects"] >= 1


@pytest.mark.parametrize("method", ["propagation", pytest.param("random", marks=pytest.mark.slow)])
def test_methods_without_a_network_need_no_selector(again: Home, method: str, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    for file in again.weights.iterdir():
        if file.stem != "selector":
            (weights / file.name).write_bytes(file.read_bytes())
    report = again.segment(clips=["heron"], settings=with_method(method), weights=str(weights))
    assert not report.set_aside
    assert {name for name, count in report.stages.items() if count["computed"]} == {
        "selection",
        "correction",
        "final",
        "quality",
        "pictures",
        "doubt",
    }
    assert report.stages["features"]["cached"] == 1 and "selector features" not in report.provenance
    made = [m for m in again.store.manifests("selection") if m.settings["settings"]["method"] == method]
    (manifest,) = made
    assert set(manifest.arrays) == {"errors", "scores", "exemplars", "moving"}
    assert manifest.settings["seed"] == (0 if method == "random" else None)
    errors = again.store.open(again.store.resolve(f"selection/{manifest.key}")).array("errors")[:]
    assert 0 <= errors.min() < errors.max() <= 1


def test_a_selector_of_the_wrong_kind_is_refused(again: Home) -> None:
    with pytest.raises(
        RunError, match=r"of the kind 'error_map'.*(\n.*)*pretrain --out DIR --set selection.method=score"
    ):
        again.segment(clips=["heron"], settings=with_method("score"))


def test_a_champion_without_a_needed_network_is_refused_with_the_reason(again: Home) -> None:
    again.adapt(settings=with_method("propagation"), rounds=0)
    with pytest.raises(
        RunError, match=r"champion of experiment 'clips' has no selector, .* selection\.method.*--weights DIR"
    ):
        again.segment(weights=None, from_champion=True)


@pytest.mark.parametrize(
    "models", [("corrector",), pytest.param(("selector", "corrector"), marks=pytest.mark.slow)]
)
def test_a_champion_is_given_no_other_features_than_its_own(again: Home, models: tuple[str, ...]) -> None:
    own = str(again.weights / "features.safetensors")
    features: dict[str, Any] = {model: {"checkpoint": own} for model in models}
    settings = Settings.model_validate({**PLAIN.model_dump(), "features": features})
    again.adapt(settings=settings, rounds=0)
    with pytest.raises(RunError, match=rf"features from {own} .* set features\.{models[0]}\.checkpoint"):
        again.segment(weights=None, from_champion=True)
    report = again.segment(weights=None, from_champion=True, settings=settings)
    assert {name for name, count in report.stages.items() if count["computed"]} <= {"pictures"}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a pre-training of one step with networks as small as possible, in other variants than usual."""
    sizes = {
        "features": {"channels": 8, "width": 16},
        "oclr": {**TINY, "width": 32},
        "selector": TINY,
        "corrector": TINY,
    }
    clip = {"frames": 2, "batch": 1}
    steps = {"features": {"pairs": 1}, "oclr": clip, "selector": clip, "corrector": {**clip, "window": 1}}
    monkeypatch.setitem(SIZES, "compact", sizes)
    monkeypatch.setitem(STEP_SIZES, "compact", steps)
    monkeypatch.setattr("motion_adapt.flows.pretrain.VALIDATED_ON", {"clips": 1, "frames": 3})
    return Settings.model_validate(
        {
            "selection": {"method": "score", "exemplars": 3},
            "pretrain": {
                "steps": 1,
                "corrector": "dense",
                "window": 2,
                "exemplars": 2,
                "exemplars_by": "selector",
            },
        }
    )


@pytest.mark.slow
def test_pretraining_trains_the_variants_that_a_run_loads(home: Home, tiny: Settings) -> None:
    out = home.path / "variants"
    pretrain(str(out), settings=tiny, place=home.place, tracking=home.tracking)
    (record,) = recorded_runs(home.store)
    assert record.command == "pretrain" and record.ended
    assert {"pretrained-oclr", "pretrained-head"} < {artifact.stage for artifact in record.artifacts}
    selector, corrector = (read_checkpoint(out / f"{name}.safetensors") for name in ("selector", "corrector"))
    assert (
        selector.settings["network"]["head"] == "score" and corrector.settings["network"]["maps"] == "dense"
    )
    training = corrector.settings["training"]
    assert (training["window"], training["exemplars"], training["frames"]) == (2, 2, 3)
    # The selector just trained chose the exemplars.
    assert training["selector"] == tensors_digest(selector.tensors)
    report = home.segment(clips=["heron"], settings=tiny, weights=str(out))
    assert list(report.clips) == ["heron"] and not report.set_aside
    (chosen,) = home.store.manifests("selection")
    assert "error_labels" not in chosen.arrays


def test_a_pretraining_that_starts_from_weights_does_not_write_over_them(home: Home, tiny: Settings) -> None:
    with pytest.raises(RunError, match="is the folder to write to"):
        same = str(home.weights)
        pretrain(same, settings=tiny, place=home.place, tracking=home.tracking, start=same)


def test_a_pretraining_on_the_clips_of_its_validation_is_refused(home: Home, tiny: Settings) -> None:
    with pytest.raises(RunError, match=f"seed: {VALIDATION_SEED} is that of the clips for validation"):
        settings = tiny.model_copy(update={"seed": VALIDATION_SEED})
        pretrain(str(home.path / "out"), settings=settings, place=home.place, tracking=home.tracking)


@pytest.mark.slow
def test_pretraining_continues_from_other_weights(home: Home, tiny: Settings) -> None:
    out = home.path / "variants"
    pretrain(str(out), settings=tiny, place=home.place, tracking=home.tracking)
    further = pretrain(
        str(home.path / "further"), settings=tiny, place=home.place, tracking=home.tracking, start=str(out)
    )
    assert further.stages["pretrained-oclr"]["computed"] == 1  # its key differs from the first one's
    oclr, first = (read_checkpoint(f / "oclr.safetensors") for f in (home.path / "further", out))
    assert oclr.settings["training"]["start"]["sha256"] == tensors_digest(first.tensors)


@pytest.mark.slow
def test_a_given_feature_network_is_not_trained_and_is_written_with_the_others(
    home: Home, tiny: Settings
) -> None:
    own, out = home.weights / "features.safetensors", home.path / "given"
    features = {model: {"checkpoint": str(own)} for model in ("selector", "corrector")}
    settings = Settings.model_validate({**tiny.model_dump(), "features": features})
    report = pretrain(str(out), settings=settings, place=home.place, tracking=home.tracking)
    assert "pretrained-features" not in report.stages
    kept, given = (read_checkpoint(file).tensors for file in (out / "features.safetensors", own))
    assert tensors_digest(kept) == tensors_digest(given)


@pytest.mark.parametrize(
    ("selector", "corrector", "trained", "kept", "named"),
    [
        ("a", "a", False, "a", ()),
        ("a", "b", False, None, ("selector", "corrector")),
        ("a", None, True, None, ("selector",)),
        (None, None, True, None, ()),
    ],
)
def test_a_folder_of_checkpoints_holds_one_feature_network(
    selector: str | None, corrector: str | None, trained: bool, kept: str | None, named: tuple[str, ...]
) -> None:
    files = {"selector": selector, "corrector": corrector}
    settings = Settings.model_validate(
        {"features": {model: {"checkpoint": file} for model, file in files.items()}}
    )
    assert trains_features(settings) == trained
    refs = {
        file: Artifact(stage="weights", key=file, attempt="1", digest="0" * 64) for file in ("a", "b", "new")
    }
    made = {"features": refs["new"]} if trained else {}
    warned: list[str] = []
    tokens = StartWeights(
        selector_features=refs[selector or "new"], corrector_features=refs[corrector or "new"]
    )
    found = given_features(cast(Run, SimpleNamespace(warn=warned.append)), settings, made, tokens)
    assert found == ({"features": refs[kept]} if kept else {})
    assert len(warned) == bool(named)
    assert all(f"features.{model}.checkpoint" in warned[0] for model in named)


def test_a_long_pretraining_is_not_smoke_whatever_it_started_from() -> None:
    short, long = {"on": "synthetic clips", "steps": 5}, {"on": "synthetic clips", "steps": 5000}
    assert is_smoke({"training": short}) and not is_smoke({"training": long})
    assert is_smoke({"training": {**short, "start": short}})
    assert not is_smoke({"training": {**short, "start": long}})
    assert not is_smoke({"training": {**long, "start": short}})
    adapted = {"on": "pseudo-labels", "steps": 5000}
    assert is_smoke({"training": {**adapted, "start": short}})
    assert not is_smoke({"training": {**adapted, "start": long}})


def test_networks_that_no_stage_runs_are_not_required() -> None:
    assert wanted(SETTINGS) == ("oclr", "selector", "corrector")
    assert wanted(Settings()) == wanted(with_method("propagation")) == ("oclr", "corrector")
    assert wanted(with_method("random")) == ("oclr", "corrector")
    given = Settings.model_validate({"proposal": {"folder": "masks"}, "selection": {"method": "propagation"}})
    assert wanted(given) == ("corrector",)


def test_finetuning_the_upsampler_warns_and_marks_its_checkpoint(again: Home) -> None:
    settings = SETTINGS.model_copy(
        update={"upsampler_finetuning": SETTINGS.upsampler_finetuning.model_copy(update={"steps": 2})}
    )
    out = again.path / "supervised"
    report = finetune_upsampler(
        str(again.clips), str(out), settings=settings, weights=str(again.weights), place=again.place
    )
    assert WARNING in report.warnings and report.provenance["corrector"] == WARNING
    assert report.clips == {name: {"annotated_frames": FRAMES} for name in ("heron", "tram [raw]")}
    assert {name for name, count in report.stages.items() if count["computed"]} == {"finetuned-upsampler"}
    made, start = (read_checkpoint(f / "corrector.safetensors") for f in (out, again.weights))
    assert made.settings["training"]["on"] == "annotations"
    changed = {n for n, t in made.tensors.items() if not np.array_equal(t, start.tensors[n])}
    assert changed and all(name.startswith("decoder.") for name in changed)
    for name in ("oclr", "selector", "features"):
        file = f"{name}.safetensors"
        assert (out / file).read_bytes() == (again.weights / file).read_bytes()
    used = again.segment(clips=["heron"], weights=str(out))
    assert any("corrector was trained with annotations" in text for text in used.warnings)


def test_finetuning_the_upsampler_takes_the_frames_that_the_settings_name(again: Home) -> None:
    settings = SETTINGS.model_copy(
        update={
            "upsampler_finetuning": SETTINGS.upsampler_finetuning.model_copy(update={"steps": 1}),
            "frames": SETTINGS.frames.model_copy(update={"every": 2}),
        }
    )
    report = finetune_upsampler(
        str(again.clips),
        str(again.path / "supervised"),
        settings=settings,
        weights=str(again.weights),
        place=again.place,
    )
    assert report.clips["heron"] == {"annotated_frames": (FRAMES + 1) // 2}


def test_without_annotations_there_is_nothing_to_finetune_on(again: Home) -> None:
    with pytest.raises(RunError, match="no clip has annotations"):
        finetune_upsampler(
            str(again.clips / "JPEGImages" / "480p"),
            str(again.path / "out"),
            settings=SETTINGS,
            weights=str(again.weights),
            place=again.place,
        )


def test_too_short_a_training_is_remembered_through_later_ones() -> None:
    short, long = {"on": "synthetic clips", "steps": 20}, {"on": "synthetic clips", "steps": SMOKE_STEPS}

    def adapted(start: dict | None) -> dict:
        return {"on": "pseudo-labels", "steps": 200, "start": start}

    assert is_smoke({"training": short})
    assert is_smoke({"training": adapted(short)})
    assert is_smoke({"training": adapted(adapted(short))})
    imported = {"source": "authors' release", "file": "corrector.pth"}
    for start in (long, imported, None):
        assert not is_smoke({"training": start})
        assert not is_smoke({"training": adapted(adapted(start))})


@pytest.mark.parametrize("flow", [adapt, segment])
def test_a_flow_refuses_two_starts(flow: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="exclude each other"):
        flow.fn(str(tmp_path), weights=str(tmp_path), from_champion=True)
