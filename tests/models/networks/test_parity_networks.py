"""The three networks, from official checkpoint files to outputs, against the authors' numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_adapt.models.inputs.imaging import hard_masks
from motion_adapt.models.networks.checkpoints import build_network
from motion_adapt.models.networks.layering import hard_modal, soft_modal
from motion_adapt.models.networks.official_checkpoints import import_official
from motion_adapt.models.networks.selector import predicted_error, scores
from tests import parity
from tests.models.networks.official import to_official

OFFICIAL = {"oclr": "oclr_flow", "selector": "selector", "corrector": "corrector"}


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def _network(model: str, meta: dict, folder: Path) -> nn.Module:
    """Build the network with the fixture's weights, by way of an official checkpoint file."""
    state = parity.official_state(OFFICIAL[model], meta["weight_seed"], meta["weights_crc"])
    path = folder / f"{model}.pth"
    torch.save(
        {"iteration": 1, "model_state_dict": state, "optimizer_state_dict": {}, "loss": torch.ones(())}, path
    )
    checkpoint = import_official(path, model)
    back = to_official(checkpoint)
    assert back.keys() == state.keys() and all(torch.equal(back[key], state[key]) for key in state)
    return build_network(checkpoint, expect=model)


@contextmanager
def _watch(*modules: nn.Module) -> Iterator[list[list[Tensor]]]:
    """Yield lists that collect the output of each module, call by call."""
    seen: list[list[Tensor]] = [[] for _ in modules]
    hooks = [
        module.register_forward_hook(lambda _m, _i, out, into=into: into.append(out))
        for module, into in zip(modules, seen, strict=True)
    ]
    yield seen
    for hook in hooks:
        hook.remove()


def _inputs(meta: dict, frames: int, tokens: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the masks (1, T, K, H, W), rgb (1, T, 3, H, W) and tokens (1, T, h, w, C) of a fixture."""
    generate, seed = parity.inputs(), meta["seed"]
    masks = parity.checked(generate.mask_input(seed, frames, meta["K"]), meta["masks_crc"])
    rgb = parity.checked(generate.rgb_input(seed, frames), meta["rgb_crc"])
    features = parity.checked(generate.feature_input(seed, frames, tokens[0] * tokens[1]), meta["feat_crc"])
    masks, rgb, features = (torch.from_numpy(array)[None] for array in (masks, rgb, features))
    return masks, rgb, features.unflatten(2, tokens)


@pytest.mark.parametrize("path", parity.fixtures("oclr_T*"))
def test_oclr(path: Path, tmp_path: Path) -> None:
    meta, _ = parity.read(path)
    net = _network("oclr", meta, tmp_path)
    flow = parity.checked(parity.inputs().flow_input(meta["seed"], meta["T"]), meta["flow_crc"])
    watched = net.encoder, net.encoder_layers[-1], net.decoder_layers[-1], net.attention_maps
    with _watch(*watched) as (encoded, tokens, queries, maps):
        logits, order = net(torch.from_numpy(flow)[None])
    amodal = logits.sigmoid()
    hard = hard_modal(amodal, order)[0].numpy()
    grid = (meta["T"], 8, 14)
    produced = {
        "bottleneck_c16": torch.cat([maps[-1] for maps in encoded])[:, ::16],
        "encoder_tokens_c16": tokens[0][0].unflatten(0, grid)[..., ::16],
        "queries": queries[0][0],
        "attn_map_c16": F.relu(maps[0])[0].unflatten(1, grid[1:])[..., ::16],
        "mask_logits_s4": logits[0, ..., 1::4, 2::4],
        "mask_logits_frame0": logits[0, 0],
        "mask_logits_mean": logits[0].mean(dim=(-2, -1)),
        "mask_logits_std": logits[0].std(dim=(-2, -1), correction=0),
        "order": order[0],
        "soft_modal_s4": soft_modal(amodal, order)[0, ..., 1::4, 2::4],
        "hard_modal_bits": np.packbits(hard.reshape(-1)),
        "hard_modal_shape": np.array(hard.shape),
    }
    parity.check(path, {name: np.asarray(value) for name, value in produced.items()})


@pytest.mark.parametrize("path", parity.fixtures("selector_T*"))
def test_selector(path: Path, tmp_path: Path) -> None:
    meta, _ = parity.read(path)
    net = _network("selector", meta, tmp_path)
    masks, rgb, tokens = _inputs(meta, meta["T"], (8, 14))
    with _watch(net.encoder, net.fusion, net.encoder_layers[-1]) as (encoded, fused, compared):
        error_maps = net(masks, rgb, tokens)
    errors = predicted_error(error_maps, masks)
    s = meta["stride"]
    bottleneck = torch.cat([maps[-1] for maps in encoded]).unflatten(0, (meta["K"], meta["T"]))
    produced = {
        "error_map": error_maps[0, ..., 1::s, 2::s],
        "error_map_f0_k0": error_maps[0, 0, 0],
        "scores": scores(errors)[0],
        "error_sum": (errors * (masks.sum(dim=(-2, -1)) + 1))[0],
        "bottleneck_c16": bottleneck.transpose(0, 1).flatten(0, 1)[:, ::16],
        "fused_c16": torch.cat(fused)[..., ::16],
        "encoder_tokens_c16": torch.cat(compared).unflatten(1, (meta["T"], 8, 14))[..., ::16],
    }
    parity.check(path, {name: value.numpy() for name, value in produced.items()})


@pytest.mark.parametrize("path", parity.fixtures("corrector_t*"))
def test_corrector(path: Path, tmp_path: Path) -> None:
    meta, _ = parity.read(path)
    net = _network("corrector", meta, tmp_path)
    masks, rgb, tokens = _inputs(meta, meta["S"], (16, 28))
    quality = parity.checked(parity.inputs().score_input(meta["seed"], meta["S"]), meta["score_crc"])
    quality = torch.from_numpy(quality)[None]  # (1, S, K)

    chosen = (
        quality[0].argsort(dim=0, descending=True, stable=True)[: meta["t"]].sort(dim=0).values.mT
    )  # (K, t)
    objects = torch.arange(meta["K"])
    memory = net.remember(
        tokens[:, chosen.mT], masks[:, chosen.mT, objects], quality[:, chosen.mT, objects], chosen[None]
    )
    keys = net._exemplar_keys(tokens[:, chosen], masks[:, chosen, objects[:, None]])  # (1, K, t, h, w, C)
    window = torch.arange(meta["start"], meta["start"] + meta["T"])
    with _watch(net.layers[-1], net.attention_maps) as (queries, maps):
        features, alpha, logits = net(
            rgb[:, window], tokens[:, window], masks[:, window], window[None], memory
        )

    attention = F.relu(maps[0])[0].permute(3, 0, 1, 2, 4)  # (K, T, h, w, channels)
    semantic = F.interpolate(alpha[0].transpose(0, 1), masks.shape[-2:], mode="bilinear").argmax(dim=1)
    hard = hard_masks(logits[0].sigmoid().numpy())
    produced = {
        "exemplars": chosen,
        "init_queries": memory.queries[0],
        "keys_exemplar_s4c16": keys[0, ..., 1::4, 2::4, ::16],
        "out_queries": queries[0][0].unflatten(0, (-1, meta["T"])),
        "attn_map_s2c16": attention[:, :, 1::2, 0::2, ::16],
        "features_s4c8": features[0, ..., 1::4, 2::4, ::8],
        "alpha": alpha[0],
        "recon_s4c8": (alpha[..., None] * features).sum(dim=1)[0, :, 1::4, 2::4, ::8],
        "mask_logits_s4": logits[0, ..., 1::4, 2::4],
        "mask_logits_frame0": logits[0, 0],
        "hard_bits": np.packbits(hard.reshape(-1)),
        "semantic_argmax": semantic[:, 1::2, 0::2].to(torch.uint8),
    }
    parity.check(path, {name: np.asarray(value) for name, value in produced.items()})
