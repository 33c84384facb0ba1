"""The authors' checkpoints, from their .pth files to masks of a clip under the `paper` preset's conventions."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from motion_adapt.flows.cli.app import app
from motion_adapt.flows.run.presets import load_settings
from tests import parity
from tests.flows.conftest import FRAMES, SIZE, Home

OFFICIAL = {"oclr": "oclr_T5", "selector": "selector_T6", "corrector": "corrector_t4"}
BACKBONES = {"selector": "vit_small_patch16_224", "corrector": "vit_small_patch8_224"}


@pytest.mark.slow
@pytest.mark.parametrize("fixture", parity.fixtures("oclr_T5"))
def test_official_files_are_imported_and_segment_a_clip(home: Home, fixture: Path) -> None:
    weights = home.path / "imported"
    for model, name in OFFICIAL.items():
        meta, _ = parity.read(fixture.with_stem(name))
        listed = "oclr_flow" if model == "oclr" else model
        state = parity.official_state(listed, meta["weight_seed"], meta["weights_crc"])
        torch.save({"model_state_dict": state}, home.path / f"{model}.pth")
        command = [
            "import-checkpoint",
            str(home.path / f"{model}.pth"),
            "--model",
            model,
            "--out",
            str(weights),
        ]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
    overrides = ["flow.estimator=dis", "flow.weights=none"]  # RAFT is tested elsewhere
    for stage, backbone in BACKBONES.items():
        torch.manual_seed(0)
        file = home.path / f"{backbone}.safetensors"
        save_file(timm.create_model(backbone, num_classes=0).state_dict(), file)
        overrides += [f"features.{stage}.checkpoint={json.dumps(str(file))}"]
    settings = load_settings("paper", overrides=overrides)
    assert settings.features.corrector.reference

    report = home.segment(settings=settings, preset="paper", weights=str(weights), clips=["heron"])

    assert report.clips["heron"]["frames"] == FRAMES
    masks = sorted((home.output / "masks" / "heron").iterdir())
    assert len(masks) == FRAMES
    with Image.open(masks[0]) as image:
        assert np.array(image).shape == SIZE
        assert np.array(image).max() <= 3
    (manifest,) = home.store.manifests("selection")
    assert np.isfinite(home.store.open(manifest.artifact).array("errors")[:]).all()
