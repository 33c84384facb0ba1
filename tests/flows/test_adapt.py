"""Adapt as a user sees it: every stage runs, results are where the report says, and MLflow has every round."""

import re
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from motion_adapt.flows.evaluate import evaluate
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.models.inputs.rounding import (
    rounded_flow,
    rounded_frames,
    rounded_probabilities,
    rounded_tokens,
)
from motion_adapt.storage.registry import Registry
from motion_adapt.storage.tracking import KIND_TAG, PARENT_TAG
from tests.flows.conftest import FRAMES, SIZE, Home

CLIPS = {"heron": range(FRAMES), "tram [raw]": range(5, 5 + FRAMES)}
STAGES = {
    "frames": 2, "weights": 5, "flow": 4, "features": 4, "proposal": 4, "selection": 4, "correction": 4,
    "pseudo-labels": 2, "adapted-corrector": 1, "finetuned-oclr": 1, "quality": 4, "scores": 28, "final": 4,
    "selection-scores": 4, "pictures": 2, "smoothing": 4, "second-opinion": 4, "clip-network": 4,
    "edges": 4,
    "doubt": 2,
}  # fmt: skip
LABEL_FREE = {
    "exemplar_error", "frame_error", "agreement_proposal", "flow_consistency", "empty", "empty_frames", "coverage",
    "seconds_per_frame/proposal", "seconds_per_frame/selection", "seconds_per_frame/correction",
    "seconds_per_frame/smoothing", "seconds_per_frame/second_opinion", "seconds_per_frame/clip_network",
    "seconds_per_frame/edges",
}  # fmt: skip
STEPS = ("proposal", "corrected", "smoothed", "second_opinion", "clip_network", "edges", "final")
SCORES = {f"{stage}/{name}" for stage in STEPS for name in ("J", "F", "JF", "J_matched")}


def test_every_stage_ran_once_for_each_clip_and_round(adapted: tuple[Home, Report]) -> None:
    _, report = adapted
    stages = dict(STAGES)
    for _ in range(round(report.rounds[1]["metrics"]["earlier_masks"] * len(CLIPS))):
        stages["final"] -= 1  # of masks that a clip keeps from round 0
        stages["scores"] -= 2  # and theirs: after edges, and in the end
    assert {name: count["computed"] for name, count in report.stages.items()} == stages
    assert report.recomputed == sum(stages.values())
    assert set(report.clips) == set(CLIPS)
    assert not report.set_aside
    assert not report.warnings


def test_both_networks_learn_the_refined_masks_of_the_round_before(adapted: tuple[Home, Report]) -> None:
    store = adapted[0].store
    for stage in ("adapted-corrector", "finetuned-oclr"):
        (made,) = store.manifests(stage)
        labels = [store.manifest(given) for name, given in made.inputs.items() if name.startswith("labels")]
        assert len(labels) == 2 and {one.inputs["masks"].stage for one in labels} == {"edges"}


@pytest.mark.parametrize(
    ("stage", "array", "rounded"),
    [
        ("frames", "rgb", rounded_frames),
        ("flow", "flow", rounded_flow),
        ("features", "tokens", rounded_tokens),
        *(
            (stage, "probabilities", rounded_probabilities)
            for stage in ("correction", "smoothing", "second-opinion", "clip-network", "edges")
        ),
    ],
)
def test_numbers_are_stored_rounded(
    adapted: tuple[Home, Report], stage: str, array: str, rounded: Callable[[np.ndarray], np.ndarray]
) -> None:
    store = adapted[0].store
    for made in store.manifests(stage):
        values = store.open(made.artifact).array(array)[:]
        np.testing.assert_array_equal(values, rounded(values))


def test_the_report_has_scores_and_label_free_measures_of_both_rounds(adapted: tuple[Home, Report]) -> None:
    _, report = adapted
    assert [item["round"] for item in report.rounds] == [0, 1]
    first, second = (item["metrics"] for item in report.rounds)
    assert set(first) >= LABEL_FREE | SCORES
    assert LABEL_FREE | SCORES | {"agreement_previous"} <= set(second)
    for metrics in (first, second):
        assert all(np.isfinite(value) for value in metrics.values())
        assert all(0 <= metrics[name] <= 1 for name in SCORES)
    kept = [item["round"] for item in report.rounds if item["decision"] == "keep"]
    assert report.final["round"] == kept[-1]
    assert report.final["J"] == pytest.approx(np.mean([clip["J"] for clip in report.clips.values()]))
    assert report.figures == "smoke"


def test_each_clip_has_the_masks_of_the_round_that_fit_it_best(adapted: tuple[Home, Report]) -> None:
    home, report = adapted
    written = [
        np.stack([np.array(Image.open(path)) for path in sorted((home.output / "masks" / name).iterdir())])
        for name in CLIPS
    ]
    finals = {made.inputs["correction"].key: made.artifact for made in home.store.manifests("final")}
    kept = 0
    for frames in home.store.manifests("frames"):
        rounds = [made for made in home.store.manifests("edges") if made.inputs["frames"].key == frames.key]
        best = max(rounds, key=lambda made: made.summary["fit"])
        labels = home.store.open(finals[best.key]).array("labels")[:]
        assert any(np.array_equal(labels, masks) for masks in written)
        kept += sum(made.key in finals for made in rounds) == 1  # no final masks of the later round
    assert report.rounds[1]["metrics"]["earlier_masks"] == kept / len(CLIPS)


def test_masks_are_indexed_pngs_of_native_size_under_the_names_of_the_frames(
    adapted: tuple[Home, Report],
) -> None:
    home, report = adapted
    assert report.output == str(home.output)
    for clip, numbers in CLIPS.items():
        masks = sorted((home.output / "masks" / clip).iterdir())
        assert [path.name for path in masks] == [f"{number:05d}.png" for number in numbers]
        for path in masks:
            with Image.open(path) as image:
                assert image.mode == "P"
                assert image.size == SIZE[::-1]
                assert np.array(image).max() <= 3


def test_each_clip_has_an_overlay_video_and_a_strip(adapted: tuple[Home, Report]) -> None:
    home, _ = adapted
    for clip in CLIPS:
        with av.open(str(home.output / "overlays" / f"{clip}.mp4")) as video:
            assert sum(1 for _ in video.decode(video=0)) == FRAMES
        with Image.open(home.output / "strips" / f"{clip}.png") as strip:
            strip.load()
            assert min(strip.size) > 100


def test_mlflow_has_a_parent_two_rounds_a_version_for_each_and_a_champion(
    adapted: tuple[Home, Report], tmp_path: Path
) -> None:
    home, report = adapted
    tracker = home.tracker
    runs = tracker.client.search_runs([tracker.experiment_id])
    parents = [run for run in runs if run.data.tags[KIND_TAG] == "adaptation"]
    rounds = tracker.rounds()
    assert len(parents) == 1
    assert [run.data.tags["round"] for run in rounds] == ["0", "1"]
    assert {run.data.tags[PARENT_TAG] for run in rounds} == {parents[0].info.run_id}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert parents[0].data.params["selection.exemplars"] == "3"
    assert parents[0].data.metrics["final/J"] == pytest.approx(report.final["J"])
    for run, item in zip(rounds, report.rounds, strict=True):
        logged = {name: value for name, value in run.data.metrics.items() if not name.startswith("train/")}
        assert logged == pytest.approx(item["metrics"])
        paths = {entry.path for entry in tracker.client.list_artifacts(run.info.run_id)}
        assert {"checkpoints", "clips.csv"} <= paths
    curves = {name for name in rounds[1].data.metrics if name.startswith("train/")}
    assert {"train/oclr/loss", "train/corrector/loss"} <= curves
    assert len(tracker.client.get_metric_history(rounds[1].info.run_id, "train/corrector/loss")) == 4
    versions = tracker.client.search_model_versions(f"name = '{Registry(tracker).model}'")
    assert len(versions) == 2
    champion = Registry(tracker).champion()
    assert champion is not None
    assert champion[1] == rounds[report.final["round"]].info.run_id
    folder = Registry(tracker).download_champion(tmp_path / "champion")
    assert {path.name for path in folder.iterdir()} == {
        "oclr.safetensors", "selector.safetensors", "corrector.safetensors", "features.safetensors",
        "clip_network.safetensors",
    }  # fmt: skip


def test_the_rounds_are_compared_in_mlflow_and_as_a_page(adapted: tuple[Home, Report]) -> None:
    home, report = adapted
    parent = home.tracker.adaptations()[0].info.run_id
    table = home.tracker.read_table(parent, "rounds_by_clip")
    assert table is not None
    assert list(table["clip"]) == sorted(CLIPS, key=lambda name: report.clips[name]["J"])
    page = home.tracker.read(parent, "page/report.html")
    assert page == (home.output / "report.html").read_bytes()
    shown = re.findall(rb'<img src="data:image/jpeg;base64,[^"]+" alt="(frames?) ', page)
    assert shown.count(b"frames") == len(CLIPS)  # strips
    assert shown.count(b"frame") == len(report.doubtful)
    assert page.count(b"data:image/") == len(shown)


def test_evaluating_the_exported_masks_gives_the_final_scores_of_the_report(
    adapted: tuple[Home, Report],
) -> None:
    home, report = adapted
    found = evaluate(str(home.output / "masks"), str(home.clips))
    assert set(found.clips) == set(CLIPS)
    for clip, scores in found.clips.items():
        for name in ("J", "F", "J_matched", "F_matched"):
            assert scores[name] == pytest.approx(report.clips[clip][name], abs=1e-9), (clip, name)


def test_a_run_from_the_champion_repeats_the_round_that_was_kept(
    adapted: tuple[Home, Report], again: Home
) -> None:
    first, _ = adapted
    made = again.segment(weights=None, from_champion=True, tracking=first.tracking)
    assert set(made.clips) == set(CLIPS)
    # Of the masks after edges: a clip of the adaptation may have kept those of the round before.
    digests = [{digest for _, _, digest in home.digests("edges")} for home in (first, again)]
    assert digests[0] == digests[1]
