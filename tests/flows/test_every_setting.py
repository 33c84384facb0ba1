"""Every value of every enumerated setting, and every command of the documentation, through whole runs on tiny clips."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from motion_adapt.flows.cli.app import app
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.presets import load_settings
from motion_adapt.flows.run.start_weights import wanted
from motion_adapt.flows.run.weight_checks import provenance
from motion_adapt.models.networks.checkpoints import Checkpoint, save_checkpoint, weights_of
from motion_adapt.models.networks.selector import MaskSelector
from motion_adapt.models.pretraining.recipe import fresh_network
from motion_adapt.storage.formats.flo import write_flo
from motion_adapt.storage.formats.masks import write_masks
from motion_adapt.tasks.settings import Settings
from tests.flows.conftest import FRAMES, OVERRIDES, SIZE, Home
from tests.storage.copies import make
from tests.storage.media import save_video
from tests.test_docs import calls

ELSEWHERE = ("pretrain.", "upsampler_finetuning.")  # settings that neither `segment` nor `adapt` reads
CLIPS = {"heron": 0, "tram [raw]": 5}  # and the number of the first frame


def enumerated(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of every setting that has a fixed list of values."""
    for name, info in model.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from enumerated(inner, f"{prefix}{name}.")
        else:
            yield from ((f"{prefix}{name}", value) for value in choices(inner))


def choices(annotation: Any) -> list[Any]:
    if annotation is bool:
        return [True, False]
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for argument in get_args(annotation) for value in choices(argument)]


VALUES = [item for item in enumerated() if not item[0].startswith(ELSEWHERE)]


def test_the_values_are_found() -> None:
    assert {("flow.estimator", "flo"), ("evaluation.protocol", "boxes"), ("crf.enabled", True)} <= set(VALUES)


def settings_of(field: str, value: Any, home: Path, base: tuple[str, ...] = ()) -> Settings:
    """The settings of a run with one value, and what that value asks for besides."""
    ready_made = value == "flo" or field == "also_dis" or (field, value) == ("oclr_finetuning.also", "dis")
    besides = ["flow.estimator=flo", f"flow.folder={home / 'flow'}"] if ready_made else []
    besides += ["flow.updates=1"] if field == "flow.estimator" and value.startswith("raft") else []
    besides += [f"sam.model={home / 'sam'}"] if field.startswith("sam.") else []
    return load_settings(overrides=[*base, f"{field}={str(value).lower()}", *besides])


@pytest.mark.parametrize(("field", "value"), VALUES)
def test_every_value_is_known_to_what_is_said_of_a_run(field: str, value: Any, tmp_path: Path) -> None:
    settings = settings_of(field, value, tmp_path)
    assert {"flow", "corrector features", "final masks"} <= set(provenance(settings))
    assert "corrector" in wanted(settings)


def make_inputs(home: Home) -> None:
    """Ready-made flow, proposals, a mask by hand, lists of clips, settings, and a selector with a scalar head."""
    flow = np.random.default_rng(0).normal(0, 3, (36, 64, 2)).astype(np.float32)
    square = np.zeros(SIZE, np.uint8)
    square[20:60, 30:90] = 1
    for clip, first in CLIPS.items():
        names = [f"{index:05d}" for index in range(first, first + FRAMES)]
        for gap in (1, 2):
            for name in names:
                write_flo(home.path / "flow" / f"Flows_gap{gap}" / clip / f"{name}.flo", flow)
        write_masks(home.path / "proposals", clip, names, [square] * FRAMES)
        write_masks(home.path / "exemplars", clip, names[:1], [square])
    for split in ("2016/val", "2017/val"):
        path = home.clips / "ImageSets" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("heron\n")
    (home.path / "mine.toml").write_text("[crf]\nenabled = true\n")
    shutil.copytree(home.weights, home.path / "weights-score")
    network = {
        "features": 4,
        "width": 32,
        "num_heads": 4,
        "num_layers": 1,
        "dropout": 0.0,
        "feature_channels": 16,
        "head": "score",
    }
    settings = {
        "network": network,
        "features": {"name": "compact", "channels": 16, "patch": 8},
        "training": {"steps": 1},
    }
    selector = fresh_network(MaskSelector, network, seed=0)
    save_checkpoint(
        home.path / "weights-score" / "selector.safetensors",
        Checkpoint("selector", settings, weights_of(selector)),
    )


# What a run on a CPU with the networks that ship refuses before it starts, and in which words.
REFUSED = {
    ("precision", "bfloat16"): "needs a GPU",
    ("precision", "float16"): "needs a GPU",
    ("features.selector.reference", True): "is for DINO's ViTs",
    ("features.corrector.reference", True): "is for DINO's ViTs",
}


@pytest.mark.slow
@pytest.mark.parametrize(("field", "value"), VALUES)
def test_every_value_goes_through_segment_and_adapt(
    again: Home, field: str, value: Any, request: pytest.FixtureRequest
) -> None:
    if str(value).startswith("raft"):
        request.getfixturevalue("weights")
    make_inputs(again)
    if field.startswith("sam."):
        shutil.copytree(request.getfixturevalue("tiny_sams")("sam2_video"), again.path / "sam")
    settings = settings_of(field, value, again.path, OVERRIDES)
    weights = str(again.path / "weights-score" if value == "score" else again.weights)
    if (field, value) in REFUSED:
        with pytest.raises(RunError, match=REFUSED[field, value]):
            again.segment(settings=settings)
        return
    for run in (again.segment, again.adapt):
        try:
            report = run(settings=settings, weights=weights)
        except RunError as error:
            if "weights missing" in str(error):
                pytest.skip(str(error))
            raise
        assert set(report.clips) == set(CLIPS) and not report.set_aside
        assert not [text for text in report.warnings if "unexpected" in text]


# Parts of commands that need what no test machine has, and the tests that run the like.
BEYOND = {
    "paper": "the authors' weights, a GPU: test_imported.py",
    "cuda": "a GPU",
    "s3://": "a bucket: test_remote_store.py",
    "vit_": "a backbone of timm: test_imported.py",
    "raft_": "weights of RAFT: the test above",
    "--sam": "a model that was trained: test_sam.py",
    "dask": "a cluster: test_dask.py",
}
DOCUMENTED = [
    case for case in calls("motion-adapt") if case.values[1][:1] in (["segment"], ["adapt"], ["materialise"])
]


@pytest.mark.slow
@pytest.mark.parametrize(("variables", "arguments"), DOCUMENTED)
def test_every_documented_command_runs(
    again: Home, variables: list[str], arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for part, why in BEYOND.items():
        if part in " ".join(arguments):
            pytest.skip(f"needs {why}")
    make_inputs(again)
    monkeypatch.chdir(again.path)  # relative names in the commands
    for variable in variables:
        monkeypatch.setenv(*variable.split("=", 1))
    command, source, *options = arguments
    options = ["heron" if option == "dog,parkour" else option for option in options]
    options = [re.sub(r"(?<=\.steps=)\d{3,}$", "2", option) for option in options]  # they take minutes
    options = [{"100": "1", "400": "5"}.get(option, option) for option in options]  # of a film of 8 frames
    clips = again.clips
    if "--dataset" in options:
        clips = make(options[options.index("--dataset") + 1], again.path / "benchmark")
    elif source.endswith(".mp4"):
        clips = save_video(again.path / source, count=8, height=48, width=80)
    if "champion" in options:
        again.adapt(rounds=0)
        start = ("--from", "champion")
    else:
        weights = again.path / "weights-score" if "selection.method=score" in options else again.weights
        start = ("--weights", str(weights))
    shared = again.options(*start)  # wins over the command's own: the last of an option counts
    shared = shared[: shared.index("--set")]
    if command == "materialise":  # it has neither results nor rounds
        shared = shared[: shared.index("--output")]
    sets = [part for override in OVERRIDES for part in ("--set", override)]
    result = CliRunner().invoke(app, [command, str(clips), *sets, *options, *shared])
    assert result.exit_code == 0, result.output
    assert "Traceback" not in result.output and "set aside" not in result.output
