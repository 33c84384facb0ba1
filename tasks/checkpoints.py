"""Checkpoints as artifacts, so that the weights a run used can be named, explained and used again."""

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, overload

from torch import nn

from motion_adapt.models.networks.checkpoints import (
    Checkpoint,
    Corrector,
    build_network,
    read_checkpoint,
    save_checkpoint,
    tensors_digest,
)
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.models.networks.selector import MaskSelector
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact, digest, file_digest
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import NotKeyed, stage

FILE = "checkpoint.safetensors"


@stage("weights", version=1)
def keep_weights(*, content: str, path: NotKeyed[str], place: Place, out: ArtifactWriter) -> None:
    """Store a weight file; `content` is `weights_content(path)`.

    Raises:
        ValueError: if the file no longer has that content.
    """
    data = Path(path).read_bytes()
    with tempfile.TemporaryDirectory() as folder:  # the bytes that are stored are those that are verified
        copy = Path(folder) / FILE
        copy.write_bytes(data)
        found, checkpoint = _read(copy)
    if found != content:
        raise ValueError(f"{path} changed while it was being imported")
    out.put(FILE, data)
    out.summary = _summary(checkpoint)


def weights_content(path: str | Path) -> str:
    """Return the digest of a weight file: of tensors and settings if it is a checkpoint of this project, else of bytes.

    Raises:
        OSError: if the file cannot be read.
    """
    return _read(Path(path))[0]


def weights_summary(path: str | Path) -> dict[str, Any]:
    """Return the summary that `keep_weights` writes of a file.

    Raises:
        OSError: if the file cannot be read.
    """
    return _summary(_read(Path(path))[1])


def _summary(checkpoint: Checkpoint | None) -> dict[str, Any]:
    if checkpoint is None:
        return {"model": "file"}
    return {"model": checkpoint.model, "settings": checkpoint.settings}


def _read(path: Path) -> tuple[str, Checkpoint | None]:
    """Return `weights_content`, and the checkpoint if the file is one."""
    try:
        checkpoint = read_checkpoint(path)
    except ValueError:
        return file_digest(path), None
    tensors = tensors_digest(checkpoint.tensors)
    return digest([checkpoint.model, checkpoint.settings, tensors]), checkpoint


def put_checkpoint(out: ArtifactWriter, checkpoint: Checkpoint, scratch: Path) -> None:
    """Publish a trained network."""
    scratch.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(scratch, checkpoint)
    out.put(FILE, scratch.read_bytes())
    scratch.unlink()
    out.summary |= _summary(checkpoint)


def get_checkpoint(place: Place, weights: Artifact) -> Checkpoint:
    """Read a checkpoint from the store."""
    with place.open().open(weights).path(FILE) as path:
        return read_checkpoint(path)


@overload
def get_network(place: Place, weights: Artifact, expect: Literal["oclr"]) -> OCLR: ...
@overload
def get_network(place: Place, weights: Artifact, expect: Literal["selector"]) -> MaskSelector: ...
@overload
def get_network(place: Place, weights: Artifact, expect: Literal["corrector"]) -> Corrector: ...
def get_network(place: Place, weights: Artifact, expect: str) -> nn.Module:
    """Return the network of a checkpoint, in evaluation mode on the place's device; the last few are cached."""
    return _network(place.store, weights, place.device, expect)


@lru_cache(maxsize=4)
def _network(store: str, weights: Artifact, device: str, expect: str) -> nn.Module:
    with ArtifactStore(store).open(weights).path(FILE) as path:
        return build_network(read_checkpoint(path), device, expect=expect)
