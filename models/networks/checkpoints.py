"""One file per trained network: its tensors, and the settings that rebuild it, in the safetensors format.

A checkpoint names its model, so that a selector is never loaded as a corrector. It holds a digest of its content, so
that damage is noticed. Files are written under a temporary name and then renamed, so that a reader sees a whole file
or none.
"""

import hashlib
import inspect
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, overload

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from motion_adapt.models.networks.clip_network import ClipNetwork
from motion_adapt.models.networks.compact_features import CompactFeatures
from motion_adapt.models.networks.corrector import MaskCorrector
from motion_adapt.models.networks.dense_corrector import DenseCorrector
from motion_adapt.models.networks.foreign_files import foreign
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.models.networks.selector import MaskSelector
from motion_adapt.models.networks.synced_file import synced_file

Corrector = MaskCorrector | DenseCorrector
_CLASSES: dict[str, type[nn.Module]] = {
    "oclr": OCLR,
    "selector": MaskSelector,
    "corrector": MaskCorrector,
    "features": CompactFeatures,
    "clip-network": ClipNetwork,
}
MODELS = tuple(_CLASSES)
_ENTRY = "motion-adapt"  # the only metadata entry: the order of several would vary from file to file


@dataclass(frozen=True)
class Checkpoint:
    """A network's tensors, with the settings that rebuild it and the recipe that it was trained by.

    Attributes:
        model: one of MODELS.
        settings: plain JSON values: "network" (constructor arguments), "features" (name, channels and patch of
            the feature network that it was trained on, or None) and "training" (the recipe).
        tensors: the network's state dict.
    """

    model: str
    settings: dict[str, Any]
    tensors: dict[str, Tensor]

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"model: wanted one of {', '.join(MODELS)}, got {self.model!r}")
        if not isinstance(self.settings.get("network"), dict):
            raise ValueError(f'settings: wanted constructor arguments under "network", got {self.settings}')


def in_half_precision(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint with weights of 16 bits, half of the bytes. A network built from it computes in 32."""
    tensors = {name: t.half() if t.is_floating_point() else t for name, t in checkpoint.tensors.items()}
    return replace(checkpoint, tensors=tensors)


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path`. An existing file is replaced only once the new one is on disk.

    Raises:
        ValueError: JSON cannot represent the settings.
    """
    content = checkpoint_bytes(checkpoint)
    with synced_file(Path(path)) as file:
        file.write(content)


def checkpoint_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the content of a checkpoint's file. The same checkpoint always gives the same bytes.

    Raises:
        ValueError: JSON cannot represent the settings.
    """
    # clones, since safetensors refuses tensors that share memory
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in sorted(checkpoint.tensors.items())}
    header = {"model": checkpoint.model, "settings": checkpoint.settings}
    try:
        entry = json.dumps({**header, "digest": _digest(header, tensors)}, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"settings of the {checkpoint.model} checkpoint: {error}") from error
    return safetensors.torch.save(tensors, metadata={_ENTRY: entry})


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read and verify a checkpoint.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or is not a checkpoint.
    """
    path = Path(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            entry = (file.metadata() or {}).get(_ENTRY)
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())} if entry else {}
    except safetensors.SafetensorError as error:
        what = foreign(path) or f": damaged, or not a safetensors file ({error})"
        raise ValueError(f"{path}{what if what.startswith(':') else f' {what}'}") from error
    if entry is None:
        raise ValueError(f"{path}: a safetensors file, but not a motion-adapt checkpoint")
    try:
        header = json.loads(entry)
        digest = header.pop("digest")
        checkpoint = Checkpoint(**header, tensors=tensors)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: the checkpoint's settings cannot be read ({error!r})") from error
    if digest != _digest(header, tensors):
        raise ValueError(f"{path}: damaged, its content differs from what was written")
    return checkpoint


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256, in hex, of names, dtypes, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


@overload
def build_network(
    checkpoint: Checkpoint, device: str | torch.device = ..., *, expect: Literal["oclr"]
) -> OCLR: ...
@overload
def build_network(
    checkpoint: Checkpoint, device: str | torch.device = ..., *, expect: Literal["selector"]
) -> MaskSelector: ...
@overload
def build_network(
    checkpoint: Checkpoint, device: str | torch.device = ..., *, expect: Literal["corrector"]
) -> Corrector: ...
@overload
def build_network(
    checkpoint: Checkpoint, device: str | torch.device = ..., *, expect: Literal["features"]
) -> CompactFeatures: ...
@overload
def build_network(
    checkpoint: Checkpoint, device: str | torch.device = ..., *, expect: Literal["clip-network"]
) -> ClipNetwork: ...
@overload
def build_network(
    checkpoint: Checkpoint, device: str | torch.device = ..., *, expect: str | None = ...
) -> nn.Module: ...
def build_network(
    checkpoint: Checkpoint, device: str | torch.device = "cpu", *, expect: str | None = None
) -> nn.Module:
    """Build the checkpoint's network with its weights, on `device` and in evaluation mode.

    Raises:
        ValueError: the checkpoint is not of the model `expect`, or its tensors do not fit its settings.
    """
    if expect is not None and checkpoint.model != expect:
        raise ValueError(f"checkpoint: wanted a model {expect!r}, got {checkpoint.model!r}")
    try:
        network = new_network(checkpoint.model, checkpoint.settings["network"])
        network.load_state_dict(checkpoint.tensors)
    # Unknown arguments; missing, unknown or misshapen tensors.
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"the {checkpoint.model} checkpoint does not fit its settings: {error}") from error
    return network.to(device).eval()


def new_network(model: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build an untrained network of a model from a checkpoint's constructor arguments, on the CPU.

    For a corrector, maps="dense" selects the one without object queries (models/networks/dense_corrector.py). All other
    arguments are those of the model's class.

    Raises:
        TypeError: the class does not take one of the arguments.
    """
    build, given = _class_of(model, arguments)
    return build(**given)


def all_arguments(model: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return constructor arguments completed by their defaults, so that equal networks have equal arguments."""
    build, _ = _class_of(model, arguments)
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(build).parameters.items()
        if parameter.default is not parameter.empty
    }
    return {**defaults, **dict(arguments)}


def _class_of(model: str, arguments: Mapping[str, Any]) -> tuple[type[nn.Module], dict[str, Any]]:
    """Return the class that the arguments select, and the arguments that it takes."""
    given = dict(arguments)
    if model == "corrector" and given.get("maps") == "dense":
        del given["maps"]
        return DenseCorrector, given
    return _CLASSES[model], given


def _digest(header: dict[str, Any], tensors: Mapping[str, Tensor]) -> str:
    return hashlib.sha256(json.dumps([header, tensors_digest(tensors)], sort_keys=True).encode()).hexdigest()


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the module's tensors on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
