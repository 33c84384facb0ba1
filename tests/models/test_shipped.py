"""The bundled weights: undamaged, of the preset's sizes, small enough, and useful."""

from pathlib import Path

import numpy as np
import pytest

from motion_adapt import models
from motion_adapt.models.inference.pipeline import correct, propose, select
from motion_adapt.models.inference.proposal_judges import propagation_judge
from motion_adapt.models.inputs.features import CORRECTOR_GRID, SELECTOR_GRID, load_features
from motion_adapt.models.networks.checkpoints import build_network, read_checkpoint
from motion_adapt.models.networks.lineage import is_supervised, learnt_by_hand
from motion_adapt.models.networks.sizes import COMPACT
from motion_adapt.models.pretraining.validation import iou
from motion_adapt.models.ship import MOST_BYTES
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.models.synthetic.synthetic_flow import clip_flow
from motion_adapt.models.training.loop import VALIDATION_SEED

FOLDER = Path(models.__file__).parent / "weights" / "compact"
NETWORKS = ("features", "oclr", "selector", "corrector")


def checkpoint(name):
    return read_checkpoint(FOLDER / f"{name}.safetensors")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_builds_the_network_of_the_preset(name):
    found = checkpoint(name)
    build_network(found, "cpu", expect=name)
    assert found.settings["network"] == COMPACT[name]
    training = found.settings["training"]
    while training["on"] == "pseudo-labels":  # of the last part; the parts before were on synthetic clips
        training = training["start"]
    assert training["steps"] >= 1000 and training["photos"]["count"] == 1500
    assert not is_supervised(found.settings) and not learnt_by_hand(found.settings)
    if name in ("selector", "corrector"):
        assert found.settings["features"] == {"name": "compact", "channels": 64, "patch": 8}


def test_weights_are_small_and_documented():
    files = list(FOLDER.glob("*.safetensors"))
    assert {path.stem for path in files} == {*NETWORKS, "clip_network"}
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"`{path.stem}`" in card for path in files)


@pytest.mark.parametrize("judge", ["propagation", pytest.param("selector", marks=pytest.mark.slow)])
def test_weights_find_the_object_in_clips_that_no_training_saw(judge):
    """On clips with one object and textures unlike the training's. Measured: IoU 0.57, corrected 0.60."""
    nets = {name: build_network(checkpoint(name), "cpu", expect=name) for name in NETWORKS[1:]}
    features = load_features("compact", checkpoint=FOLDER / "features.safetensors")
    supply = SyntheticClips(seed=VALIDATION_SEED, frames=8, max_objects=1)
    proposed, corrected = [], []
    for index in range(4):
        clip = supply.make(index)
        flow = clip_flow(clip, kind="noisy", gap=1, rng=np.random.default_rng(index))
        masks = np.concatenate([part.masks for part in propose(nets["oclr"], flow)])
        seen = features.extract(clip.rgb, SELECTOR_GRID), features.extract(clip.rgb, CORRECTOR_GRID)
        by = (nets["selector"], seen[0]) if judge == "selector" else (propagation_judge(), seen[1])
        (selection,) = select(by[0], clip.rgb, by[1], masks)
        chosen = selection.scores, selection.exemplars
        repaired = [part.masks for part in correct(nets["corrector"], clip.rgb, seen[1], masks, *chosen)]
        proposed.append(iou(masks, clip))
        corrected.append(iou(np.concatenate(repaired), clip))
    assert 0.4 < np.mean(proposed) < np.mean(corrected)
