"""Masks refined by tiny Segment Anything models within runs: keys, provenance, guard, teaching and what is missing."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from motion_adapt.flows.cli.app import app
from motion_adapt.flows.plan.plan import Plan, make_plan
from motion_adapt.flows.refine import refine, require_something
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.presets import load_settings
from motion_adapt.models.networks.lineage import TrainedOn, is_supervised
from motion_adapt.tasks.settings import Settings
from tests.flows.conftest import FRAMES, SETTINGS, SIZE, Home
from tests.needs import crf, transformers

pytestmark = transformers
Tiny = Callable[[str], Path]


def with_sam(model: Path, **fields: Any) -> Settings:
    return Settings.model_validate({**SETTINGS.model_dump(), "sam": {"model": str(model), **fields}})


def computed(report: Report) -> set[str]:
    return {name for name, count in report.stages.items() if count["computed"]}


def test_masks_are_refined_and_every_place_says_by_what(again: Home, tiny_sams: Tiny, tmp_path: Path) -> None:
    model = tiny_sams("sam")
    report = again.segment(settings=with_sam(model, least_iou=0.0))
    assert computed(report) == {"sam", "pictures"}
    told = f"{model}, which refines final masks, was trained with human annotations: they are not label-free"
    assert report.provenance["annotations"] == told and told in report.warnings
    assert f"refined by {model}" in report.provenance["final masks"]
    for made in again.store.manifests("sam"):
        before, after = again.store.open(made.inputs["masks"]), again.store.open(made.artifact)
        assert made.inputs["masks"].stage == "final" and after.array("labels").shape == (FRAMES, *SIZE)
        assert not np.array_equal(before.array("labels")[:], after.array("labels")[:])
        assert made.summary["asked"] > 0 and made.summary["kept"] == 0
        assert re.fullmatch(r"SAM [0-9a-f]{64}", made.summary["model"])
        assert str(model) not in str(made.settings) and str(model) not in str(made.summary)
    assert {figures["sam_kept"] for figures in report.clips.values()} == {0.0}

    elsewhere = shutil.copytree(model, tmp_path / "moved")
    assert not again.segment(settings=with_sam(elsewhere, least_iou=0.0)).recomputed  # the same files
    guarded = again.segment(settings=with_sam(elsewhere, least_iou=1.0))
    assert computed(guarded) <= {"sam", "pictures"}
    assert any("masks stay as they were" in text for text in guarded.warnings)
    assert {figures["sam_kept"] for figures in guarded.clips.values()} == {1.0}
    plain = again.segment()
    assert computed(plain) <= {"pictures"} and "annotations" not in plain.provenance


def test_sam_2_carries_the_exemplars_masks(again: Home, tiny_sams: Tiny) -> None:
    report = again.segment(settings=with_sam(tiny_sams("sam2_video"), video=True, least_iou=0.0))
    assert computed(report) == {"sam-video", "pictures"} and not report.set_aside
    for made in again.store.manifests("sam-video"):
        assert made.inputs["selection"].stage == "selection" and made.summary["frames"] == FRAMES


@pytest.mark.slow
def test_what_sam_teaches_is_marked(again: Home, tiny_sams: Tiny) -> None:
    settings = with_sam(tiny_sams("sam_hq"), teach=True, least_iou=0.0)
    report = again.adapt(settings=settings, rounds=1)
    assert {"sam-labels", "pseudo-labels", "adapted-corrector", "finetuned-oclr"} <= computed(report)
    trained = [
        made.summary["settings"]
        for stage in ("adapted-corrector", "finetuned-oclr")
        for made in again.store.manifests(stage)
    ]
    marked = [item for item in trained if is_supervised(item)]
    assert len(marked) == 2 and len(trained) == 4  # those of the first adaptation are label-free
    assert {item["training"]["on"] for item in marked} == {TrainedOn.REFINED_PSEUDO_LABELS.value}
    assert all(item["training"]["refined_by"][0].startswith("HQ-SAM ") for item in marked)
    run = again.tracker.get(report.mlflow["run"])
    assert "final masks and pseudo-labels, was trained with human annotations" in run.data.tags["annotations"]


def test_a_missing_model_ends_the_run_before_it_begins(again: Home, tmp_path: Path) -> None:
    before = again.digests()
    arguments = ["segment", str(again.clips), "--sam", str(tmp_path / "nowhere"), *again.options()]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1 and "Traceback" not in result.output
    flat = " ".join(result.output.split())
    assert (
        "weights missing: sam.model=" in flat and "there is no such folder" in flat and "hf download" in flat
    )
    assert again.digests() == before


def test_ready_made_masks_are_refined(again: Home, tiny_sams: Tiny) -> None:
    shared = [
        "--store",
        str(again.path / "store"),
        "--threads",
        "1",
        "--device",
        "cpu",
        "--sam",
        str(tiny_sams("sam2")),
    ]
    given, refined = again.path / "clips" / "Annotations" / "480p", again.path / "refined"
    arguments = ["refine", str(given), str(again.clips), "--set", "sam.least_iou=0", *shared]
    result = CliRunner().invoke(app, [*arguments, "--output", str(refined)])
    assert result.exit_code == 0, result.output
    assert "human annotations" in " ".join(result.output.split())
    for clip in ("heron", "tram [raw]"):
        before = [np.array(Image.open(path)) for path in sorted((given / clip).glob("*.png"))]
        after = [np.array(Image.open(path)) for path in sorted((refined / "masks" / clip).glob("*.png"))]
        assert len(before) == len(after) == FRAMES
        assert any(not np.array_equal(one, other) for one, other in zip(before, after, strict=True))
        for one, other in zip(before, after, strict=True):
            assert set(np.unique(other)) <= {0, *np.unique(one)}
        assert (refined / "strips" / f"{clip}.png").is_file()
    nothing = CliRunner().invoke(app, ["refine", str(given), str(again.clips), *shared[:-2]])
    assert nothing.exit_code == 1 and "nothing would refine" in nothing.output
    same = CliRunner().invoke(
        app, ["refine", str(refined), str(again.clips), *shared, "--output", str(refined)]
    )
    assert same.exit_code == 1 and "would be replaced" in " ".join(same.output.split())


def test_refining_refuses_settings_that_it_would_not_follow() -> None:
    for setting in ("frames.start=1", "frames.end=4", "frames.every=3", "frames.fps=5", "sam.teach=true"):
        settings = load_settings(overrides=["crf.enabled=true", "sam.model=any", setting])
        with pytest.raises(RunError, match=setting.partition("=")[0]):
            require_something(settings)


@crf
def test_ready_made_masks_are_refined_by_the_crf(again: Home) -> None:
    given, refined = again.path / "clips" / "Annotations" / "480p", again.path / "refined"
    report = refine(
        masks=str(given),
        source=str(again.clips),
        settings=load_settings(overrides=["crf.enabled=true"]),
        clips=["heron"],
        output=str(refined),
        place=again.place,
    )
    assert set(report.clips) == {"heron"} and "annotations" not in report.provenance
    (made,) = again.store.manifests("crf")
    before, after = again.store.open(made.inputs["masks"]), again.store.open(made.artifact)
    one, other = before.array("labels")[:], after.array("labels")[:]
    assert set(np.unique(other)) <= set(np.unique(one)) and not np.array_equal(one, other)
    assert (one > 0)[other > 0].mean() > 0.8


def test_a_plan_counts_the_stage_and_downloads_nothing(again: Home, tiny_sams: Tiny, tmp_path: Path) -> None:
    def planned(settings: Settings) -> Plan:
        return make_plan(
            "segment", str(again.clips), settings, again.place.resolved(), weights=str(again.weights)
        )

    stages = planned(with_sam(tiny_sams("sam"))).stages
    assert (stages["sam"].missing, stages["sam"].stored) == (2, 0) and stages["final"].missing == 0
    without = planned(with_sam(tmp_path / "nowhere"))
    assert "sam" not in without.stages and any("the run would not start" in text for text in without.warnings)


def test_doctor_tells_of_the_model(again: Home, tiny_sams: Tiny, tmp_path: Path) -> None:
    shared = ["--weights", str(again.weights), "--store", str(again.path / "store"), "--device", "cpu"]
    found = CliRunner().invoke(app, ["doctor", "--sam", str(tiny_sams("sam")), *shared])
    assert "SAM: SAM" in found.output and "MB in" in " ".join(found.output.split())
    lacking = CliRunner().invoke(app, ["doctor", "--sam", str(tmp_path / "nowhere"), *shared])
    assert lacking.exit_code == 1 and "weights missing" in lacking.output
