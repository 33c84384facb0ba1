"""Settings come from a preset, a file, the environment and the command line; later ones win, field by field."""

import doctest
import json
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_adapt.flows.run.presets import PRESETS, SettingsError, field_names, load_settings
from motion_adapt.models.inputs.flow_estimators import RAFT_DEFAULT, flow_provenance
from motion_adapt.storage.keys import digest
from motion_adapt.storage.tracking import flatten
from motion_adapt.tasks.runtime.variables import ADDRESS, RUNNER, WORKERS

TEXT = st.text(st.characters(categories=["L", "N"], max_codepoint=0x2FF), min_size=1, max_size=12)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "seed": st.integers(0, 10**9),
    "objects": st.integers(1, 9),
    "flow.updates": st.integers(1, 99),
    "flow.resolution": st.none() | st.tuples(st.integers(16, 999), st.integers(16, 999)),
    "features.selector.backbone": TEXT.map(lambda text: f"vit_{text}"),
    "features.corrector.checkpoint": st.none() | TEXT.map(lambda text: f"/weights/{text}.pth"),
    "proposal.link_iou": st.floats(0, 1),
    "selection.exemplars": st.integers(1, 30),
    "corrector_adaptation.learning_rate": st.floats(1e-9, 1),
    "oclr_finetuning.frames": st.integers(2, 30),
    "crf.enabled": st.booleans(),
    "evaluation.protocol": st.sampled_from(["single", "objects"]),
}


def flat(**arguments: Any) -> dict[str, Any]:
    return flatten(load_settings(**arguments).model_dump(mode="json"))


def test_the_example_in_the_docstring() -> None:
    finder = doctest.DocTestFinder(recurse=False)
    (found,) = finder.find(load_settings, "load_settings", globs={"load_settings": load_settings})
    assert found.examples and doctest.DocTestRunner().run(found).failed == 0


@given(st.fixed_dictionaries({}, optional=VALUES), st.sampled_from(sorted(PRESETS)))
def test_overrides_reach_their_fields_and_no_others(values: dict[str, Any], preset: str) -> None:
    found = flat(preset=preset, overrides=[f"{name}={json.dumps(value)}" for name, value in values.items()])
    wanted = json.loads(json.dumps(values))
    assert found == {**flat(preset=preset), **wanted}


@pytest.mark.parametrize("name", field_names())
def test_every_field_can_be_named(name: str) -> None:
    value = attrgetter(name)(load_settings())
    assert load_settings(overrides=[f"{name}={json.dumps(value)}"]) == load_settings()


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_load(preset: str) -> None:
    load_settings(preset)


@pytest.mark.parametrize("estimator", ["raft_small", "raft_large"])
def test_raft_works_by_its_name_alone_with_weights_that_have_seen_no_real_flow(estimator: str) -> None:
    by_name = load_settings(overrides=[f"flow.estimator={estimator}"]).flow
    assert by_name.weights == RAFT_DEFAULT
    assert "no real flow ground truth" in flow_provenance(estimator, by_name.weights)
    named = load_settings(overrides=[f"flow.estimator={estimator}", f"flow.weights={RAFT_DEFAULT}"]).flow
    assert digest(by_name) == digest(named)  # the same key, whether the weights are named or not
    other = load_settings(overrides=[f"flow.estimator={estimator}", "flow.weights=C_T_SKHT_V1"]).flow
    assert other.weights == "C_T_SKHT_V1"
    assert load_settings(overrides=["flow.estimator=dis"]).flow.weights is None


def test_text_needs_no_quotes_and_none_means_none() -> None:
    found = flat(overrides=["features.selector.backbone=vit_small", "flow.resolution=none"])
    assert found["features.selector.backbone"] == "vit_small"
    assert found["flow.resolution"] is None


def test_the_later_layer_wins_field_by_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "mine.toml"
    config.write_text("seed = 1\n[proposal]\nchunk = 20\noverlap = 1\n[crf]\niterations = 7\n")
    monkeypatch.setenv("MOTION_ADAPT_SEED", "2")
    monkeypatch.setenv("MOTION_ADAPT_PROPOSAL__OVERLAP", "2")
    found = flat(preset="paper", config=config, overrides=["seed=3"])
    assert found["seed"] == 3  # the command line
    assert found["proposal.overlap"] == 2  # the environment
    assert (found["proposal.chunk"], found["crf.iterations"]) == (20, 7)  # the file
    assert found["flow.estimator"] == "raft_large"  # the preset


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("crf.enable=true", "did you mean 'crf.enabled'?"),
        ("proposl.chunk=3", "did you mean 'proposal.chunk'?"),
        ("crf=3", "crf:"),
        ("gaps.adaptation=1", "gaps.adaptation must differ"),
        ("edges.own=inf", "edges.own"),
        ("clip_network.learning_rate=nan", "clip_network.learning_rate"),
        ("oclr_finetuning.also=dis", "oclr_finetuning.also: flow.estimator is dis too"),
        ("flow.estimator=flo", "flow.folder"),
        (
            "flow.folder=flows",
            "flow.folder=flows is used only with flow.estimator=flo, but flow.estimator is dis",
        ),
        ("precision=half", "precision"),
        ("=3", "--set needs field=value"),
    ],
)
def test_a_wrong_setting_is_named_with_the_closest_one(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said.replace("?", r"\?")):
        load_settings(overrides=[text])


def test_a_clip_needs_two_frames_between_its_first_and_its_end() -> None:
    with pytest.raises(
        SettingsError, match=r"frames\.end=3 leaves fewer than two frames from frames\.start=2 on"
    ):
        load_settings(overrides=["frames.start=2", "frames.end=3"])
    assert load_settings(overrides=["frames.start=2", "frames.end=4"]).frames.end == 4


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("MOTION_ADAPT_SED", "did you mean 'MOTION_ADAPT_SEED'?"),
        ("MOTION_ADAPT_CRF_ENABLED", "did you mean 'MOTION_ADAPT_CRF__ENABLED'?"),
        ("MOTION_ADAPT_CRF__ENABLE", "did you mean 'MOTION_ADAPT_CRF__ENABLED'?"),
        ("MOTION_ADAPT_SEED__X", "did you mean 'MOTION_ADAPT_SEED'?"),
        ("motion_adapt_sed", "the environment has motion_adapt_sed"),
        ("MOTION_ADAPT_ZZZZZZZ", "there is no such setting"),
        ("MOTION_ADAPT_CRF", "a group of settings must be JSON"),
    ],
)
def test_a_variable_that_names_no_setting_is_an_error(
    variable: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "one")
    with pytest.raises(SettingsError, match=said.replace("?", r"\?")):
        load_settings()


def test_variables_that_the_program_reads_are_not_wrong_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in (ADDRESS, RUNNER, WORKERS, "MOTION_ADAPT_DATA", "MOTION_ADAPT_SOAK"):
        monkeypatch.setenv(variable, "1")
    load_settings()


def test_wrong_settings_in_a_file_and_in_the_environment_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "mine.toml"
    config.write_text("[crf]\niteration = 7\n")
    with pytest.raises(SettingsError, match=r"did you mean 'crf\.iterations'"):
        load_settings(config=config)
    config.write_text("[crf\n")
    with pytest.raises(SettingsError, match=r"mine\.toml"):
        load_settings(config=config)
    monkeypatch.setenv("MOTION_ADAPT_CRF__ITERATIONS", "none at all")
    with pytest.raises(SettingsError, match=r"crf\.iterations"):
        load_settings()
