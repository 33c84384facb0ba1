"""Segment, materialise and pre-train."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from motion_adapt.flows.materialise import materialise
from motion_adapt.flows.pretrain import pretrain
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.models.inputs.flow_estimators import flow_estimator
from motion_adapt.models.networks.checkpoints import read_checkpoint
from motion_adapt.storage.formats.flo import write_flo
from motion_adapt.storage.formats.masks import write_masks
from motion_adapt.tasks.settings import FlowSettings, PretrainSettings, ProposalSettings, Settings
from tests.flows.conftest import FRAMES, SETTINGS, SIZE, Home
from tests.flows.killing import Command
from tests.storage.media import save_frames, save_video


def test_a_video_file_gives_masks_of_its_frames(home: Home) -> None:
    video = save_video(home.path / "walk.mp4", count=4, height=48, width=80)
    report = home.segment(video)
    assert report.clips["walk"]["frames"] == 4
    masks = sorted((home.output / "masks" / "walk").iterdir())
    assert [path.name for path in masks] == [f"{index:05d}.png" for index in range(4)]
    with Image.open(masks[0]) as image:
        assert image.size == (80, 48)
    assert (home.output / "overlays" / "walk.mp4").is_file()
    assert not any(home.tracker.client.search_runs([home.tracker.experiment_id]))


def test_materialised_artifacts_are_not_recomputed(home: Home) -> None:
    first = materialise(str(home.clips), settings=SETTINGS, weights=str(home.weights), place=home.place)
    assert {name: count["computed"] for name, count in first.stages.items()} == {
        "frames": 2, "weights": 1, "flow": 4, "features": 4
    }  # fmt: skip
    assert (first.clips["heron"]["height"], first.clips["heron"]["width"]) == (90, 160)
    report = home.segment(clips=["heron"])
    assert list(report.clips) == ["heron"]
    assert {name for name, count in report.stages.items() if count["computed"]} == {
        "weights", "proposal", "selection", "correction", "smoothing", "second-opinion",
        "clip-network", "edges", "quality", "final", "pictures", "doubt",
    }  # fmt: skip


def test_a_clip_without_motion_is_processed(home: Home) -> None:
    clip = home.path / "still" / "wall"
    clip.mkdir(parents=True)
    for index in range(3):
        Image.fromarray(np.full((60, 100, 3), 90, np.uint8)).save(clip / f"{index}.png")
    report = home.segment(clip.parent)
    assert report.clips["wall"]["frames"] == 3
    assert not report.set_aside


def test_ready_made_flow_is_read_and_new_files_are_new_flow(home: Home) -> None:
    clips, folder = home.path / "two", home.path / "flow"
    for clip in ("short", "bare"):
        save_frames(clips / clip, ["a.png", "b.png", "c.png"])
    for frame in ("a", "b", "c"):
        write_flo(folder / "Flows_gap1" / "short" / f"{frame}.flo", np.ones((36, 64, 2), np.float32))
    settings = Settings(flow=FlowSettings(estimator="flo", folder=str(folder)))

    def run() -> Report:
        return materialise(str(clips), settings=settings, weights=str(home.weights), place=home.place)

    first = run()
    assert list(first.clips) == ["short"]
    assert "no flow for gap 1" in first.set_aside["bare"]
    flows = {(m.settings["gap"], m.summary["gap"]) for m in home.store.manifests("flow")}
    # three frames have no gap of 2: both are read from Flows_gap1; that of DIS has a gap of 1 too
    assert flows == {(1, 1), (2, 1)}
    assert run().stages["flow"] == {"computed": 0, "cached": 3, "seconds": 0.0}  # that of DIS too
    write_flo(folder / "Flows_gap1" / "short" / "b.flo", np.zeros((36, 64, 2), np.float32))
    assert run().stages["flow"]["computed"] == 2
    settings = settings.model_copy(update={"proposal": ProposalSettings(folder=str(home.path))})
    assert run().stages["flow"]["cached"] == 1  # nothing is proposed from DIS flow


def save_flow(home: Home, clip: str, gap: int) -> None:
    """Write the flow that OpenCV estimates; at an end without a partner, that of the nearest frame that has one."""
    files = sorted((home.clips / "JPEGImages" / "480p" / clip).iterdir())
    frames = [np.asarray(Image.open(file))[None] for file in files]
    last = len(frames) - 1
    for index, file in enumerate(files):
        here = min(max(index, -gap, 0), last, last - gap)
        flow = flow_estimator("dis")(frames[here], frames[here + gap])[0]
        write_flo(home.path / "flow" / f"Flows_gap{gap}" / clip / f"{file.stem}.flo", flow)


def test_beside_other_flow_each_clip_has_the_masks_from_its_own_or_dis_flow_that_fit_better(
    home: Home,
) -> None:
    for gap in (1, -1):
        save_flow(home, "heron", gap)
        for index in range(5, 5 + FRAMES):  # flow that explains nothing, so that no mask comes from it
            noise = np.random.default_rng(index).normal(0, 3, (36, 64, 2)).astype(np.float32)
            write_flo(home.path / "flow" / f"Flows_gap{gap}" / "tram [raw]" / f"{index:05d}.flo", noise)
    given = FlowSettings(estimator="flo", folder=str(home.path / "flow"))
    report = home.segment(settings=SETTINGS.model_copy(update={"flow": given}))
    assert report.provenance["second flow"] == "DIS, no weights: no training data"
    twice = (
        "flow", "proposal", "selection", "correction", "quality", "smoothing", "second-opinion", "clip-network",
        "edges",
    )  # fmt: skip
    once = ("frames", "final", "pictures", "doubt")
    shown = {made.inputs["speed"].key for made in home.store.manifests("second-opinion")}
    assert shown == {made.inputs["flow"].key for made in home.store.manifests("proposal")}  # of both passes
    assert {name: report.stages[name]["computed"] for name in (*twice, *once)} == {
        **dict.fromkeys(twice, 4),
        **dict.fromkeys(once, 2),
    }
    by_dis = {
        made.key for made in home.store.manifests("flow") if made.settings["settings"]["estimator"] == "dis"
    }
    own = {made.key for made in home.store.manifests("flow")} - by_dis
    edges, proposals = (list(home.store.manifests(stage)) for stage in ("edges", "proposal"))
    assert {made.inputs["flow"].key for made in edges} == own  # so that the fits can be compared
    assert {made.inputs["flow"].key for made in proposals} == own | by_dis
    shown = {made.inputs["final"].key: made for made in home.store.manifests("pictures")}
    taken = 0
    for final in home.store.manifests("final"):
        best = max(
            (made for made in edges if made.inputs["frames"].key == final.inputs["frames"].key),
            key=lambda made: made.summary["fit"] or 0,
        )
        assert final.inputs["correction"].key == best.key
        drawn = shown[final.key].inputs
        assert (
            drawn["flow"].key
            == next(m for m in proposals if m.key == drawn["proposal"].key).inputs["flow"].key
        )
        taken += drawn["flow"].key in by_dis
    assert sum(clip["masks_from_dis"] for clip in report.clips.values()) == taken
    assert report.clips["tram [raw]"]["masks_from_dis"] == 1
    alone = home.segment(settings=SETTINGS.model_copy(update={"flow": given, "also_dis": False}))
    assert "second flow" not in alone.provenance
    assert {name for name, count in alone.stages.items() if count["computed"]} == {
        "final",
        "pictures",
        "doubt",
    }
    assert alone.stages["edges"]["cached"] == 2


LACKING = "no flow at ±2 in {} for {} of 2 clips ({}): they don't fine-tune OCLR; add Flows_gap2"


@pytest.fixture
def ready(home: Home) -> Settings:
    """Settings for ready-made flow, which both clips have at the gap of inference."""
    for clip in ("heron", "tram [raw]"):
        save_flow(home, clip, 1)
    changes = {
        "flow": FlowSettings(estimator="flo", folder=str(home.path / "flow")),
        "clip_network": SETTINGS.clip_network.model_copy(update={"enabled": False}),
    }
    return SETTINGS.model_copy(update=changes)


@pytest.mark.slow
def test_ready_made_flow_goes_through_a_whole_run_and_a_clip_that_lacks_it_does_not_fine_tune(
    home: Home, ready: Settings
) -> None:
    save_flow(home, "tram [raw]", -2)
    report = home.adapt(settings=ready)
    assert set(report.clips) == {"heron", "tram [raw]"} and not report.set_aside
    assert report.provenance["flow"].startswith("ready-made .flo files")
    assert report.stages["finetuned-oclr"]["computed"] == 1
    assert any(LACKING.format(ready.flow.folder, 1, "heron") in text for text in report.warnings)
    (trained,) = home.store.manifests("finetuned-oclr")
    assert [name for name in trained.inputs if name.startswith("flow")] == ["flow.00000"]


@pytest.mark.slow
def test_a_clip_whose_flow_to_fine_tune_on_cannot_be_read_is_still_segmented(
    home: Home, ready: Settings
) -> None:
    for clip in ("heron", "tram [raw]"):
        save_flow(home, clip, -2)
        save_flow(home, clip, 2)
    damaged = home.path / "flow" / "Flows_gap2" / "heron" / "00002.flo"
    damaged.unlink()
    damaged.mkdir()  # whatever reads it fails
    report = home.adapt(settings=ready)
    assert set(report.clips) == {"heron", "tram [raw]"} and not report.set_aside
    assert any("heron" in text and "00002.flo" in text for text in report.warnings)


@pytest.mark.slow
def test_if_no_clip_has_ready_made_flow_to_fine_tune_on_oclr_stays(home: Home, ready: Settings) -> None:
    report = home.segment(settings=ready)
    assert set(report.clips) == {"heron", "tram [raw]"} and not report.set_aside
    report = home.adapt(settings=ready)
    assert not report.set_aside and "finetuned-oclr" not in report.stages
    wanted = LACKING.format(ready.flow.folder, 2, "heron, tram [raw]")
    assert any(wanted in text for text in report.warnings)
    assert any("OCLR stays as it is" in text for text in report.warnings)


def test_ready_made_proposals_replace_oclr(home: Home) -> None:
    given = home.path / "given"
    names = [f"{index:05d}" for index in range(FRAMES)]
    square = np.zeros(SIZE, np.uint8)
    square[20:60, 30:90], square[60:70, 100:140] = 1, 3
    write_masks(given, "heron", names, [square] * FRAMES)
    weights = home.path / "without-oclr"
    weights.mkdir()
    for path in home.weights.iterdir():
        if path.stem != "oclr":
            shutil.copy(path, weights)
    settings = SETTINGS.model_copy(update={"proposal": ProposalSettings(folder=str(given))})
    report = home.adapt(settings=settings, weights=str(weights))
    assert list(report.clips) == ["heron"]
    assert "00005.png is missing: every frame needs a mask" in report.set_aside["tram [raw]"]
    assert {"proposal", "finetuned-oclr"}.isdisjoint(report.stages)
    assert report.stages["given-proposal"]["computed"] == 1  # the second round reuses the first one's
    assert report.stages["adapted-corrector"]["computed"] == 1
    # Only at the gap of inference, because no OCLR is fine-tuned; the other clip is set aside before any work.
    assert report.stages["flow"]["computed"] == 1
    (manifest,) = home.store.manifests("given-proposal")
    masks = home.store.open(manifest.artifact).array("masks")[0]
    assert masks.shape == (3, 128, 224)
    assert masks[0].mean() == pytest.approx(40 * 60 / square.size, rel=0.05)
    assert not masks[1].any()


@pytest.mark.slow
def test_a_killed_pretraining_resumes_to_the_same_weights(home: Home) -> None:
    settings = Settings(pretrain=PretrainSettings(steps=3, pool=2, checkpoint_every=1))
    options = ["--steps", "3", "--set", "pretrain.pool=2"]
    options += ["--set", "pretrain.checkpoint_every=1", "--threads", "1", "--device", "cpu"]
    options += ["--store", str(home.path / "store"), "--tracking-uri", home.tracking.uri]
    state = home.path / "scratch" / "pretrained-oclr-*.pt"
    out = home.path / "made"
    command = Command("pretrain", "--out", out, *options, log=home.path / "log")
    command.kill_when(lambda: bool(list(state.parent.glob(state.name))))
    (left,) = state.parent.glob(state.name)
    assert 1 <= torch.load(left, weights_only=False)["step"] < 3
    assert not out.exists()
    resumed = pretrain(str(out), settings=settings, place=home.place, tracking=home.tracking)
    assert resumed.stages["pretrained-features"] == {"computed": 0, "cached": 1, "seconds": 0.0}
    elsewhere = home.place.model_copy(
        update={"store": str(home.path / "other"), "scratch": str(home.path / "other-scratch")}
    )
    undisturbed = home.path / "undisturbed"
    pretrain(str(undisturbed), settings=settings, place=elsewhere, tracking=home.tracking)
    for model in ("features", "oclr", "selector", "corrector"):
        first, second = (Path(folder) / f"{model}.safetensors" for folder in (out, undisturbed))
        assert first.read_bytes() == second.read_bytes(), model
        assert read_checkpoint(first).settings["training"]["steps"] == 3
    assert not [path for path in state.parent.rglob("*") if path.is_file()]
