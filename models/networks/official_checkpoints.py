"""Read the checkpoints that the authors released, with their tensors renamed to our names.

The released files hold the same networks under other names. The tables below pair modules. The tensors within
a pair (weight, bias, packed projections) have the same names on both sides.
"""

import os
import pickle
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from motion_adapt.models.networks.checkpoints import Checkpoint
from motion_adapt.models.networks.corrector import MaskCorrector
from motion_adapt.models.networks.foreign_files import foreign, in_short
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.models.networks.selector import MaskSelector

_Pairs = Iterator[tuple[str, str]]

_NETWORKS: dict[str, type[nn.Module]] = {"oclr": OCLR, "selector": MaskSelector, "corrector": MaskCorrector}
_PAPER: dict[str, dict[str, int]] = {
    "oclr": {"in_channels": 4, "num_queries": 3, "features": 32},
    "selector": {"features": 16, "feature_channels": 384},
    "corrector": {
        "features": 64,
        "width": 384,
        "feature_channels": 384,
        "num_objects": 3,
        "num_background": 4,
    },
}
_FEATURES: dict[str, dict[str, Any] | None] = {
    "oclr": None,
    "selector": {"name": "vit_small_patch16_224.dino", "channels": 384, "patch": 16},
    "corrector": {"name": "vit_small_patch8_224.dino", "channels": 384, "patch": 8},
}


def import_official(path: str | os.PathLike[str], model: str) -> Checkpoint:
    """Read a released checkpoint of "oclr", "selector" or "corrector".

    Nothing in the file is executed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, holds code, or belongs to another model. The message names missing, unknown
            or misshapen tensors.
    """
    if model not in _NETWORKS:
        raise ValueError(f"model: wanted one of {', '.join(_NETWORKS)}, got {model!r}")
    state = _read_state(Path(path))
    settings = dict(_PAPER[model])
    if model == "oclr":  # the only network that was also released with other numbers of gaps and queries
        settings |= _oclr_sizes(state)
    tensors = _from_official(state, model, settings, str(path))
    training = {"source": "authors' release", "file": Path(path).name}
    return Checkpoint(
        model, {"network": settings, "features": _FEATURES[model], "training": training}, tensors
    )


def _read_state(path: Path) -> dict[str, Tensor]:
    if what := foreign(path):
        raise ValueError(f"{path} {what}")
    with path.open("rb") as file:
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise ValueError(f"{path}: holds more than tensors, or is no checkpoint; not loaded") from error
        except Exception as error:  # torch's readers raise nearly anything on bytes that are no checkpoint
            raise ValueError(f"{path}: damaged or truncated ({in_short(error)})") from error
    state = content.get("model_state_dict", content) if isinstance(content, dict) else None
    named = isinstance(state, dict) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    )
    if not state or not named:
        raise ValueError(f"{path}: wanted a dictionary of tensors by name, bare or under 'model_state_dict'")
    return {key.removeprefix("module."): tensor for key, tensor in state.items()}


def _oclr_sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    first = state.get("encoder.encoder1.conv_block.enc1conv1.weight")
    queries = state.get("transformer_dec.motion_embed.weight")
    if first is None or queries is None or first.ndim != 4 or queries.ndim != 2:
        return {}
    return {"in_channels": first.shape[1], "num_queries": queries.shape[0]}


def _from_official(
    state: Mapping[str, Tensor], model: str, settings: dict[str, int], path: str
) -> dict[str, Tensor]:
    with torch.device("meta"):
        wanted = _NETWORKS[model](**settings).state_dict()
    names = official_names(model, wanted)
    missing = [name for name in names.values() if name not in state]
    unknown = sorted(set(state) - set(names.values()))
    if missing or unknown:
        what = [_some(verb, found) for verb, found in (("lacks", missing), ("has", unknown)) if found]
        raise ValueError(f"{path}: not an official {model} checkpoint; {'; '.join(what)}")
    for ours, theirs in names.items():
        if state[theirs].shape != wanted[ours].shape:
            want, got = tuple(wanted[ours].shape), tuple(state[theirs].shape)
            raise ValueError(f"{path}: {theirs}: wanted shape {want}, got {got}")
        if not state[theirs].is_floating_point() or not state[theirs].isfinite().all():
            raise ValueError(f"{path}: {theirs}: wanted finite floating-point values")
    return {ours: state[theirs].float().contiguous() for ours, theirs in names.items()}


def _some(verb: str, names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{verb} {', '.join(names[:3])}{more}"


def official_names(model: str, ours: Iterable[str]) -> dict[str, str]:
    """Return {our name: official name} for every tensor of "oclr", "selector" or "corrector"."""
    modules = dict(_MODULES[model]())
    names = {}
    for name in ours:
        module, _, leaf = name.rpartition(".")
        if module not in modules:
            raise ValueError(f"{name}: the authors' {model} has no such tensor")
        names[name] = f"{modules[module]}.{leaf}"
    return names


# ---- pairs of modules: (ours, theirs)


def _oclr() -> _Pairs:
    yield from _unet_encoder("encoder", "encoder", levels=4)
    yield "position", "transformer_enc.encoder_positime.proj"
    yield from _encoder_layers("encoder_layers", "transformer_enc.transformer_encoder")
    yield "queries", "transformer_dec.motion_embed"
    yield "query_time", "transformer_dec.encoder_time.proj"
    for ours, theirs in _layers("decoder_layers", "transformer_dec.transformer_decoder"):
        yield from _attention(f"{ours}.self_attention", f"{theirs}.self_attn")
        yield from _attention(f"{ours}.cross_attention", f"{theirs}.multihead_attn")
        yield from _feed_forward(f"{ours}.feed_forward", theirs, "linear1", "linear2")
        yield from _norms(ours, theirs, 3)
    yield "attention_maps", "heatmap.mlp.0"
    yield "order_head.0", "classhead.mlp.0"
    yield "order_head.2", "classhead.mlp.2"
    yield from _unet_decoder("decoder", "decoder_am", levels=4)


def _selector() -> _Pairs:
    yield from _stems("selector.encoder")
    yield from _unet_encoder("encoder", "selector.encoder", levels=4)
    yield "fusion", "selector.mlp"
    yield "position", "selector.transformer_enc.encoder_positime.proj"
    yield from _encoder_layers("encoder_layers", "selector.transformer_enc.transformer_encoder")
    yield from _unet_decoder("decoder", "selector.decoder", levels=4)


def _corrector() -> _Pairs:
    yield from _stems("rgbmaskenc.encoder_rgbmask")
    yield from _unet_encoder("encoder", "rgbmaskenc.encoder_rgbmask", levels=3)
    yield "exemplar_position", "rgbmaskenc.encoder_posi.proj"
    yield "object_code", "rgbmaskenc.encoder_queryinfo.proj"
    yield "background", "rgbglobalcorrector.transdec.slots_embedding"
    yield "query_time", "rgbglobalcorrector.transdec.encoder_querytime.proj"
    yield "target_position", "rgbglobalcorrector.transdec.encoder_positime.proj"
    for ours, theirs in _layers("layers", "rgbglobalcorrector.transdec.transformer_decoder"):
        yield from _attention(f"{ours}.self_attention", f"{theirs}.self_attn")
        yield from _attention(f"{ours}.target_attention", f"{theirs}.multihead_attn")
        yield from _feed_forward(f"{ours}.target_feed_forward", theirs, "linear1", "linear2")
        yield from _attention(f"{ours}.exemplar_attention", f"{theirs}.multihead_attn2")
        yield from _feed_forward(f"{ours}.exemplar_feed_forward", theirs, "linear2_1", "linear2_2")
        yield from _norms(ours, theirs, 5)
    yield "attention_maps", "rgbglobalcorrector.transdec.heatmap.mlp.0"
    yield "feature_position", "rgbglobalcorrector.encoder_posi.proj"
    yield "feature_trunk", "rgbglobalcorrector.mlp.0"
    yield "feature_head", "rgbglobalcorrector.mlp_feat"
    yield "alpha_head.0", "rgbglobalcorrector.mlp_mask1.0"
    yield "alpha_head.2", "rgbglobalcorrector.mlp_mask2"
    yield "mix_objects", "rgbmaskdec.mlp_mix"
    yield from _unet_decoder("decoder", "rgbmaskdec.decoder_m", levels=3)


_MODULES = {"oclr": _oclr, "selector": _selector, "corrector": _corrector}


def _stems(theirs: str) -> _Pairs:
    for i in (1, 2):
        yield f"rgb_stem.conv{i}", f"{theirs}.encoder1_rgb.conv_block.enc1_rconv{i}"
        yield f"mask_stem.conv{i}", f"{theirs}.encoder1_mask.conv_block.enc1_mconv{i}"


def _unet_encoder(ours: str, theirs: str, levels: int) -> _Pairs:
    for i in (1, 2):
        for level in range(1, levels + 1):
            yield (
                f"{ours}.blocks.{level - 1}.conv{i}",
                f"{theirs}.encoder{level}.conv_block.enc{level}conv{i}",
            )
        yield f"{ours}.blocks.{levels}.conv{i}", f"{theirs}.bottleneck.conv_block.bottleneckconv{i}"


def _unet_decoder(ours: str, theirs: str, levels: int) -> _Pairs:
    for step, level in enumerate(range(levels, 0, -1)):
        yield f"{ours}.ups.{step}", f"{theirs}.upconv{level}"
        for i in (1, 2):
            yield f"{ours}.blocks.{step}.conv{i}", f"{theirs}.decoder{level}.conv_block.dec{level}conv{i}"
    yield f"{ours}.out", f"{theirs}.conv"


def _layers(ours: str, theirs: str) -> _Pairs:
    for i in range(3):
        yield f"{ours}.{i}", f"{theirs}.layers.{i}"


def _encoder_layers(ours: str, theirs: str) -> _Pairs:
    for our_layer, their_layer in _layers(ours, theirs):
        yield from _attention(f"{our_layer}.self_attention", f"{their_layer}.self_attn")
        yield from _feed_forward(f"{our_layer}.feed_forward", their_layer, "linear1", "linear2")
        yield from _norms(our_layer, their_layer, 2)


def _attention(ours: str, theirs: str) -> _Pairs:
    yield ours, theirs
    yield f"{ours}.out_proj", f"{theirs}.out_proj"


def _feed_forward(ours: str, theirs: str, first: str, second: str) -> _Pairs:
    yield f"{ours}.linear1", f"{theirs}.{first}"
    yield f"{ours}.linear2", f"{theirs}.{second}"


def _norms(ours: str, theirs: str, count: int) -> _Pairs:
    for i in range(1, count + 1):
        yield f"{ours}.norm{i}", f"{theirs}.norm{i}"
