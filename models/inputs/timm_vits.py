"""Load vision transformers of timm by name, with all their weights (the backbones of models/inputs/features.py).

A name that is not a ViT is rejected before anything is downloaded. A cached file is used without contacting a server.
A file that lacks a weight is an error: timm itself would silently leave that weight random.
"""

import difflib
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import timm
import torch
from timm.models import PretrainedCfg
from torch import nn

from motion_adapt.models.inputs.downloads import WeightsMissing, reachable
from motion_adapt.models.networks.foreign_files import foreign, in_short


def require_vit(backbone: str) -> None:
    """Check that timm has a ViT of a name, without any weights.

    Raises:
        ValueError: if it has no such network, or it is no ViT.
    """
    vit_entry(backbone)
    with torch.device("meta"):
        _build_vit(backbone)


def load_vit(backbone: str, path: Path | None = None) -> Any:
    """Load a ViT of timm without its head, for images of any size, with weights from a local file or timm's own.

    Raises:
        ValueError: timm does not know the name, the network is not a ViT, its patches are not square, or the file does
            not fit.
        WeightsMissing: the weights were not found and cannot be downloaded.
    """
    entry = vit_entry(backbone)
    with torch.device("meta"):
        sketch = _build_vit(backbone)
    down, across = sketch.patch_embed.patch_size
    if down != across:
        raise ValueError(f"features {backbone}: wanted square patches, got {down} x {across}")
    vit = _fill_vit(backbone, _weights_file(entry, path, what=backbone, megabytes=_megabytes(sketch)))
    if isinstance(vit.norm, nn.Identity):
        vit.norm = vit.fc_norm  # ViTs that pool their tokens have their norm after the pooling
    return vit


def vit_entry(backbone: str) -> PretrainedCfg:
    """Return timm's record of a backbone's weights, or of the default ones if the name has no tag."""
    architecture, _, tag = backbone.partition(".")
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, timm.list_models("*vit*"), n=3)
        close = close or [name for name in timm.list_pretrained("vit*") if architecture.lower() in name][:3]
        nearest = (
            f"the nearest are {', '.join(close)}" if close else "timm.list_models('vit*') lists its ViTs"
        )
        raise ValueError(f"features: timm has no {architecture!r}; {nearest}")
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        only = (
            f"only {', '.join(tags)}" if tags else "timm has none for it: name a local file as its checkpoint"
        )
        raise ValueError(f"features: {architecture} has no weights {tag!r}, {only}")
    return timm.get_pretrained_cfg(backbone) or PretrainedCfg()


def _weights_file(entry: PretrainedCfg, local: Path | None, *, what: str, megabytes: float) -> Path:
    """Return the file of a timm model's weights: `local` if it is given, otherwise the Hugging Face cache or server.

    A cached file is used without contacting the server.

    Raises:
        WeightsMissing: there is no file and it cannot be downloaded, for instance because HF_HUB_OFFLINE is set.
    """
    repository, name = entry.hf_hub_id, entry.hf_hub_filename or "model.safetensors"
    remedies = ["name a local file as the backbone's checkpoint", "or do without: the backbone `compact`"]
    if local is not None:
        if local.is_file():
            return local
        looked_in, why = str(local), "there is no such file"
    elif not repository:
        looked_in, why = "timm", "timm has no download address for these weights"
    else:
        cached = huggingface_hub.try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
        looked_in = f"{huggingface_hub.constants.HF_HUB_CACHE} for {repository}"
        server = huggingface_hub.constants.ENDPOINT
        if huggingface_hub.constants.HF_HUB_OFFLINE:
            why = "HF_HUB_OFFLINE is set"
        elif not reachable(server):
            why = f"no answer from {server}"
        else:
            try:
                return Path(huggingface_hub.hf_hub_download(repository, name))
            except Exception as error:  # any error of the client means that there are no weights
                why = f"download failed: {error}"
        remedies.insert(0, f"get it: hf download {repository} {name}")
    raise WeightsMissing(what, megabytes=megabytes, looked_in=looked_in, why=why, remedies=remedies)


def _fill_vit(backbone: str, path: Path) -> Any:
    """Build a ViT with all its weights from a file. timm itself would silently leave missing ones random."""
    vit = _build_vit(backbone)
    adapt = sys.modules[type(vit).__module__].checkpoint_filter_fn  # reads the original authors' layouts too
    try:
        found = timm.models.load_checkpoint(vit, str(path), strict=False, filter_fn=adapt)
    except Exception as error:  # torch's readers raise nearly anything on bytes that are no checkpoint
        why = foreign(path) or f"does not fit: {in_short(error)}"
        raise ValueError(f"features {backbone}: {path} {why}") from error
    if found is not None and found.missing_keys:
        missing = found.missing_keys
        raise ValueError(
            f"features {backbone}: {path} does not fit: it lacks {missing[0]} and {len(missing) - 1} more"
        )
    return vit


def _build_vit(backbone: str) -> Any:
    """Build a ViT of timm without its head, for images of any size."""
    try:
        vit = timm.create_model(backbone, num_classes=0, dynamic_img_size=True)
    except TypeError:
        vit = None
    if not all(hasattr(vit, part) for part in ("num_prefix_tokens", "patch_embed", "norm")):
        raise ValueError(f"features {backbone}: wanted a ViT, but this network of timm is not one")
    return vit


def _megabytes(module: nn.Module) -> float:
    return sum(weight.numel() * 4 for weight in module.parameters()) / 1e6
