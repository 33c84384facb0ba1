"""Frozen feature networks: correct tokens, and clear messages if weights are missing."""

import importlib.util
import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from motion_adapt.models.inputs import timm_vits
from motion_adapt.models.inputs.downloads import WeightsMissing
from motion_adapt.models.inputs.features import (
    FeatureNetwork,
    feature_provenance,
    load_features,
    stream_features,
)
from motion_adapt.models.inputs.imaging import normalise_rgb, resize_frames
from motion_adapt.models.networks.checkpoints import Checkpoint, save_checkpoint
from motion_adapt.models.networks.compact_features import CompactFeatures
from tests.models.reference_metrics import folder

TINY, GAP = "vit_tiny_patch16_224", "vit_medium_patch16_gap_240"


@pytest.fixture(scope="module")
def random_file(tmp_path_factory):
    """Return a function that writes a random ViT, given by name, to a local file."""

    def write(name):
        torch.manual_seed(0)
        path = tmp_path_factory.mktemp("weights") / f"{name}.safetensors"
        save_file(timm.create_model(name, num_classes=0).state_dict(), path)
        return path

    return write


@pytest.fixture(scope="module")
def tiny_file(random_file):
    return random_file(TINY)


@pytest.fixture(scope="module")
def gap_file(random_file):
    return random_file(GAP)


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (5, 90, 160, 3), dtype=np.uint8)


def test_tokens_are_those_of_timm_without_the_class_token(tiny_file, frames):
    network = load_features(TINY, checkpoint=tiny_file)
    assert (network.name, network.channels, network.patch_size) == (TINY, 192, 16)
    tokens = network.extract(frames[:2], (8, 14))
    # an older timm would expect the format of the model's own file
    overlay = {"file": str(tiny_file), "custom_load": False}
    vit = timm.create_model(
        TINY, pretrained=True, num_classes=0, dynamic_img_size=True, pretrained_cfg_overlay=overlay
    ).eval()
    assert network.mean == vit.pretrained_cfg["mean"] and network.std == vit.pretrained_cfg["std"]
    images = normalise_rgb(resize_frames(frames[:2], 128, 224), mean=network.mean, std=network.std)
    with torch.no_grad():
        wanted = vit.forward_features(images)[:, 1:].reshape(2, 8, 14, 192).numpy()
    np.testing.assert_allclose(tokens, wanted, atol=1e-4)


def test_models_that_pool_their_tokens_are_normed_too(gap_file, frames):
    tokens = load_features(GAP, checkpoint=gap_file).extract(frames[:1], (4, 7))
    assert tokens.shape == (1, 4, 7, 512)
    np.testing.assert_allclose(tokens.mean(axis=-1), 0, atol=1e-4)
    np.testing.assert_allclose(tokens.std(axis=-1), 1, atol=1e-2)


def test_the_compact_network_comes_from_a_checkpoint(tmp_path, frames):
    torch.manual_seed(0)
    module = CompactFeatures(channels=32, patch_size=8, width=48).eval()
    settings = {"network": {"channels": 32, "patch_size": 8, "width": 48}, "features": None, "training": {}}
    save_checkpoint(tmp_path / "compact", Checkpoint("features", settings, module.state_dict()))
    network = load_features("compact", checkpoint=tmp_path / "compact")
    assert (network.name, network.channels, network.patch_size) == ("compact", 32, 8)
    tokens = network.extract(frames[:2], (8, 14))
    with torch.no_grad():
        wanted = module(normalise_rgb(resize_frames(frames[:2], 64, 112)))  # (2, C, 8, 14)
    np.testing.assert_allclose(tokens, wanted.permute(0, 2, 3, 1).numpy(), atol=1e-5)


def test_streaming_gives_every_frame_in_half_precision(tiny_file, frames):
    network = load_features(TINY, checkpoint=tiny_file)
    chunks = list(stream_features(frames, network, (4, 7), batch=2))
    assert [start for start, _ in chunks] == [0, 2, 4]
    tokens = np.concatenate([chunk for _, chunk in chunks])
    assert tokens.shape == (5, 4, 7, 192) and tokens.dtype == np.float16
    np.testing.assert_allclose(tokens[3], network.extract(frames[3:4], (4, 7))[0], atol=5e-3)


def test_tokens_beyond_half_precision_are_an_error(frames):
    class Huge(FeatureNetwork):
        def tokens(self, images, grid):
            return torch.full((len(images), grid[0] * grid[1], 1), 1e6)

    network = Huge("huge", torch.nn.Linear(1, 1), channels=1, patch_size=8)
    with pytest.raises(ValueError, match=r"frames 0 to 4 reach 1e\+06"):
        next(stream_features(frames, network, (2, 2)))


# ------------------------------------------------------------------------------------------- errors


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match="vit_small_patch16_224"):
        load_features("vit_small_patch16_2244")
    with pytest.raises(ValueError, match="no weights 'dinoo'"):
        load_features("vit_small_patch16_224.dinoo")
    with pytest.raises(ValueError, match="wanted a ViT"):
        load_features("resnet18")
    with pytest.raises(ValueError, match="checkpoint file"):
        load_features("compact")


def test_files_that_do_not_fit_are_refused(tiny_file, tmp_path):
    with pytest.raises(ValueError, match=r"vit_tiny.* does not fit"):
        load_features("vit_small_patch16_224", checkpoint=tiny_file)
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match="lacks cls_token and 149 more"):
        load_features(TINY, checkpoint=tmp_path / "foreign.safetensors")
    for name in ("noise.safetensors", "noise.pth"):
        (tmp_path / name).write_bytes(b"not weights at all")
        with pytest.raises(ValueError, match=f"{name} does not fit"):
            load_features(TINY, checkpoint=tmp_path / name)


def test_missing_weights_are_reported_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(timm_vits.huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(timm_vits, "reachable", lambda url: False)
    with pytest.raises(WeightsMissing) as caught:
        load_features("vit_small_patch8_224.dino")
    for part in ("vit_small_patch8_224.dino (87 MB)", str(tmp_path), "hf download timm/", "compact"):
        assert part in str(caught.value)
    with pytest.raises(WeightsMissing, match="no such file"):
        load_features(TINY, checkpoint=tmp_path / "absent.safetensors")
    with pytest.raises(WeightsMissing, match="no such file"):
        load_features("compact", checkpoint=tmp_path / "absent.safetensors")


def test_provenance(tiny_file, tmp_path):
    assert "without labels" in feature_provenance("vit_small_patch16_224.dino")
    assert "not known" in feature_provenance("vit_small_patch16_224")
    assert "not known" in feature_provenance(TINY, tiny_file)
    marked = tmp_path / "marked.safetensors"
    save_file({"x": torch.zeros(1)}, marked, metadata={"warning": "tuned for saliency"})
    assert "tuned for saliency" in feature_provenance(TINY, marked)


# ------------------------------------------------------------------------------------ reference numbers


@pytest.mark.parametrize("patch", [16, 8])
def test_reference_tokens(patch, tmp_path):
    parity = folder("MOTION_ADAPT_PARITY")
    spec = importlib.util.spec_from_file_location("parity_weights", parity / "weights.py")
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    golden = np.load(parity / f"dino_vits{patch}.npz")
    meta = json.loads(str(golden["meta"]))
    shapes = json.loads((parity.parent / "state_dicts.json").read_text())[f"dino_vits{patch}"]
    official = generator.official_weights(shapes, meta["weight_seed"])
    assert generator.weights_checksum(official) == meta["weights_crc"]
    path = tmp_path / "dino.pth"
    torch.save({name: torch.from_numpy(array) for name, array in official.items()}, path)
    network = load_features(f"vit_small_patch{patch}_224.dino", checkpoint=path, reference=True)
    grid = (128 // patch, 224 // patch)
    images = torch.from_numpy(generator.rgb_input(meta["seed"], 1)).reshape(1, 3, 128, 224)
    with torch.inference_mode():
        tokens = network.tokens(images, grid)[0].numpy()
    assert network.std[0] == 0.228
    np.testing.assert_allclose(tokens[:: meta["token_stride"]], golden["tokens"], atol=2e-4, rtol=2e-4)


def test_reference_is_for_dino_only(gap_file):
    with pytest.raises(ValueError, match="DINO"):
        load_features(GAP, checkpoint=gap_file, reference=True)


# -------------------------------------------------------------------------------------- real weights


@pytest.mark.slow
@pytest.mark.parametrize("grid", [(8, 14), (16, 28)])
def test_stand_in_features_of_real_frames(grid):
    torch.set_num_threads(1)
    file = folder("MOTION_ADAPT_WEIGHTS") / "vit_small_patch14_standin.safetensors"
    network = load_features("vit_small_patch14_dinov2", checkpoint=file)
    folder_of_frames = folder("MOTION_ADAPT_DATA") / "tiny/JPEGImages/480p/dog"
    clip = np.stack([np.asarray(Image.open(f)) for f in sorted(folder_of_frames.glob("*.jpg"))[:4]])
    tokens = np.concatenate([chunk for _, chunk in stream_features(clip, network, grid, batch=2)])
    assert tokens.shape == (4, *grid, 384) and np.isfinite(tokens).all()
    unit = tokens.astype(np.float32) / np.linalg.norm(tokens.astype(np.float32), axis=-1, keepdims=True)
    same_place = (unit[1:] * unit[:-1]).sum(axis=-1).mean()
    elsewhere = (unit[1:] * np.roll(unit[:-1], grid[1] // 2, axis=2)).sum(axis=-1).mean()
    assert same_place > elsewhere + 0.1
