"""Smoothing, clip networks and edges within a run: each under its clip's own key, and left out as the settings say."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from motion_adapt.models.inference.edges import follow_fine_edges_of_frame
from motion_adapt.models.inference.threshold import choose_threshold
from motion_adapt.models.inputs.imaging import native_labels
from motion_adapt.models.networks.checkpoints import Checkpoint, read_checkpoint, save_checkpoint, weights_of
from motion_adapt.models.networks.clip_network import ClipNetwork
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.storage.artifacts.manifest import Manifest
from motion_adapt.storage.clips.find_clips import find_clips
from motion_adapt.storage.clips.videos import open_frames
from motion_adapt.tasks.settings import Settings
from tests.flows.conftest import FRAMES, LARGE, SETTINGS, Home, computed, enlarge, write_frames
from tests.needs import crf


def with_(**sections: dict[str, Any]) -> Settings:
    changed = {name: {**SETTINGS.model_dump()[name], **fields} for name, fields in sections.items()}
    return Settings.model_validate({**SETTINGS.model_dump(), **changed})


def test_a_clip_whose_network_shows_something_else_keeps_its_smoothed_masks(again: Home) -> None:
    report = again.segment(settings=with_(clip_network={"agreement": 1.0}))
    assert set(computed(report)) <= {"second-opinion", "clip-network", "edges", "final", "pictures", "doubt"}
    told = [
        text for text in report.warnings if "keeps its masks, its clip network shows something else" in text
    ]
    assert len(told) == 2 and "clip_network.agreement=1.0" in told[0]
    unused = [made for made in again.store.manifests("clip-network") if not made.summary["used"]]
    assert len(unused) == 2 and all(made.summary["agreement"] < 1 for made in unused)
    for made in unused:
        own, given = again.store.open(made.artifact), again.store.open(made.inputs["masks"])
        for name in ("masks", "probabilities"):
            np.testing.assert_array_equal(own.array(name)[:], given.array(name)[:])
    for made in again.store.manifests("clip-network"):  # each learnt its own clip's
        assert made.summary["training"]["labels"] == [made.inputs["masks"].key]

    alone = again.segment(settings=with_(clip_network={"agreement": 1.0}), clips=["heron"])
    assert not alone.recomputed  # the other clip is not missed


def test_the_shared_network_is_asked_about_every_clip_and_heard_where_its_masks_fit_better(
    again: Home,
) -> None:
    asked = list(again.store.manifests("second-opinion"))
    assert len(asked) == 4  # two clips, two rounds
    for made in asked:
        without, with_it = made.summary["fit"]
        assert made.summary["used"] == (with_it > without)
        flow, frames = (again.store.open(made.inputs[name]) for name in ("flow", "frames"))
        mean, given = (again.store.open(one) for one in (made.artifact, made.inputs["masks"]))
        for fit, shown in ((with_it, mean), (without, given)):
            clip = [
                opened.array(name)
                for opened, name in ((frames, "rgb"), (flow, "flow"), (shown, "probabilities"))
            ]
            assert fit == (choose_threshold(*clip).fit or 0)
    learnt = {made.inputs["masks"].key for made in again.store.manifests("clip-network")}
    assert learnt == {(made.artifact if made.summary["used"] else made.inputs["masks"]).key for made in asked}
    strict = again.segment(settings=with_(clip_network={"agreement": 1.0}))
    assert computed(strict)["second-opinion"] == 2
    assert all(clip["opinion_heard"] == 0 for clip in strict.clips.values())
    for made in again.store.manifests("second-opinion"):
        assert made.arrays or (made.summary["agreement"] < 1 and not made.summary["used"])
    # What is heard depends on none of the settings of the clip's own network.
    longer = again.segment(settings=with_(clip_network={"steps": 3}))
    assert "second-opinion" not in computed(longer) and computed(longer)["clip-network"] == 2


@pytest.mark.parametrize("way", ["setting", "weights"])
def test_a_shared_network_without_motion_is_not_asked(again: Home, way: str) -> None:
    settings = with_(clip_network={"second_opinion": way == "weights"})
    weights = again.path / "weights-colours"
    if way == "weights":
        shutil.copytree(again.weights, weights)
        network = {"objects": 1, "widths": [8, 8, 8]}
        module = ClipNetwork(**network)
        told = {"network": network, "features": None, "training": {"steps": 1}}
        save_checkpoint(
            weights / "clip_network.safetensors", Checkpoint("clip-network", told, weights_of(module))
        )
    report = again.segment(settings=settings, weights=str(weights if way == "weights" else again.weights))
    assert "second-opinion" not in report.stages and computed(report)["clip-network"] == 2
    assert len([text for text in report.warnings if "sees no motion" in text]) == (way == "weights")


def test_clip_networks_of_colours_alone_do_not_depend_on_the_flow_that_shows_motion(again: Home) -> None:
    report = again.segment(settings=with_(clip_network={"motion": False}))
    assert computed(report)["clip-network"] == 2 and "second-opinion" not in computed(report)
    made = [made for made in again.store.manifests("clip-network") if "speed" not in made.inputs]
    assert len(made) == 2


@pytest.mark.slow
def test_clip_networks_start_from_a_network_of_all_clips(again: Home) -> None:
    longer = with_(shared_network={"steps": 3})
    report = again.segment(settings=longer)
    assert {"shared-network": 1, "clip-network": 2}.items() <= computed(report).items()
    assert "second-opinion" not in report.stages  # it would only repeat what it learnt
    (shared,) = again.store.manifests("shared-network")
    smoothed = [made.artifact.key for made in again.store.manifests("smoothing")]
    learnt = shared.summary["settings"]["training"]["labels"]
    assert len(learnt) == 2 and learnt == sorted(learnt) and set(learnt) <= set(smoothed)
    given = read_checkpoint(again.weights / "clip_network.safetensors").settings["training"]
    assert shared.summary["settings"]["training"]["start"] == given
    started = [
        made for made in again.store.manifests("clip-network") if made.inputs.get("start") == shared.artifact
    ]
    assert len(started) == 2
    assert not computed(again.segment(settings=longer))

    alone = again.segment(settings=with_(clip_network={"start": "scratch"}), clips=["heron"])
    assert computed(alone)["clip-network"] == 1
    recipes = [made.summary["training"] for made in again.store.manifests("clip-network")]
    assert sum("start" not in recipe for recipe in recipes) == 1


def new_final(home: Home, source: Path, **sections: dict[str, Any]) -> Manifest:
    """Segment a single clip with changed settings; return the final masks that this makes."""
    before = {made.key for made in home.store.manifests("final")}
    home.segment(source, settings=with_(**sections), clips=["heron"] if source == home.clips else None)
    (made,) = (made for made in home.store.manifests("final") if made.key not in before)
    return made


def test_final_masks_follow_the_edges_of_the_native_frames(again: Home, tmp_path: Path) -> None:
    frames = SyntheticClips(seed=2, frames=3).make(0).rgb
    native = [cv2.resize(frame, (400, 240), interpolation=cv2.INTER_CUBIC) for frame in frames]
    write_frames(tmp_path / "walk", ["1", "2", "3"], np.stack(native))
    made = new_final(again, tmp_path / "walk")
    coarse = new_final(again, tmp_path / "walk", fine_edges={"enabled": False})
    assert "flow" not in coarse.inputs and coarse.inputs["correction"] == made.inputs["correction"]
    given, flow = (again.store.open(made.inputs[name]) for name in ("correction", "flow"))
    for index, frame in enumerate(open_frames(find_clips(tmp_path / "walk").clips[0])):
        objects = given.array("probabilities")[index].astype(np.float32)
        fine = follow_fine_edges_of_frame(frame, flow.array("flow")[index][:2], objects, iterations=5)
        np.testing.assert_array_equal(
            again.store.open(made.artifact).array("labels")[index], native_labels(fine[None], 240, 400)[0]
        )


def test_an_adaptation_follows_fine_edges_in_every_round_and_once(home: Home) -> None:
    enlarge(home, "heron")
    settings = SETTINGS.model_copy(update={"keep_better": False})  # else the later round may have none
    report = home.adapt(clips=["heron"], settings=settings)
    assert report.stages["final"]["computed"] == 2 and 0 <= report.clips["heron"]["J"] <= 1
    finals = list(home.store.manifests("final"))
    assert len(finals) == 2 and all("flow" in made.inputs for made in finals)
    assert {home.store.open(made.artifact).array("labels").shape for made in finals} == {(FRAMES, *LARGE)}
    assert home.adapt(clips=["heron"], settings=settings).recomputed == 0


@crf
def test_a_crf_takes_the_place_of_fine_edges(again: Home) -> None:
    made = new_final(again, again.clips, crf={"enabled": True})
    assert set(made.inputs) == {"frames", "correction"} and made.summary["crf"]


def test_what_is_switched_off_is_not_run(again: Home) -> None:
    off = {name: {"enabled": False} for name in ("smoothing", "clip_network", "edges")}
    report = again.segment(settings=with_(**off))
    assert set(computed(report)) <= {"final", "pictures", "doubt"}
    assert not {"smoothing", "second-opinion", "clip-network", "edges"} & set(report.stages)
    finals = [
        made for made in again.store.manifests("final") if made.inputs["correction"].stage == "correction"
    ]
    assert len(finals) == 2
