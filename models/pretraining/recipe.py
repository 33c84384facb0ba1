"""Parts shared by all pre-trainings: the initial network, the recipe, the learning rate, the final checkpoint."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from motion_adapt.models.inputs.features import TokenExtractor, extractor_identity, features_identity
from motion_adapt.models.networks.checkpoints import (
    Checkpoint,
    all_arguments,
    build_network,
    new_network,
    tensors_digest,
    weights_of,
)
from motion_adapt.models.networks.lineage import TrainedOn
from motion_adapt.models.synthetic.shapes import MASK_SUFFIXES
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.models.synthetic.textures import SUFFIXES, list_pictures
from motion_adapt.models.training.batches import Batches
from motion_adapt.models.training.course import Course, Schedule
from motion_adapt.models.training.loop import VALIDATION_SEED, Loss, train

LONG_RUN = 100_000
RARE = -2.0  # logit of something that about one pixel in eight shows
SHORT_RUN_RATE = 1e-3


def fresh_network(
    build: Callable[..., nn.Module],
    arguments: dict[str, Any],
    seed: int,
    *,
    first_guess: float | Sequence[float] | None = None,
) -> nn.Module:
    """Build a network with random weights that depend only on the seed.

    Args:
        build: builds the network.
        arguments: arguments of `build`.
        seed: seed of the weights.
        first_guess: initial logits of the output channels. Most pixels show no object, and most of a proposal is
            correct. A network that starts with this prior need not learn it in its first few hundred steps.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(**arguments)
    if first_guess is not None:
        bias = network.get_parameter("decoder.out.bias")
        bias.data.copy_(torch.as_tensor(first_guess).expand_as(bias))
    return network


def first_network(
    model: str,
    network: dict[str, Any],
    seed: int,
    *,
    start: Checkpoint | None,
    features: TokenExtractor | None = None,
    first_guess: float | Sequence[float] | None = None,
) -> nn.Module:
    """Build the initial network of a training, with the weights of `start` or random ones (see `fresh_network`).

    An OCLR that sees the flow without the camera's motion can start from one that does not (see `with_residual`).

    Raises:
        ValueError: `start` is another model, has other arguments than `network`, or reads other tokens than those of
            `features`.
    """
    if start is None:
        return fresh_network(partial(new_network, model, network), {}, seed, first_guess=first_guess)
    if model == "oclr" and network.get("residual"):
        start = with_residual(start)
    module = build_network(start, expect=model)
    has, wanted = (all_arguments(model, arguments) for arguments in (start.settings["network"], network))
    if differ := _differing(has, wanted):
        raise ValueError(f"start: the {model} to start from is another network: {differ}")
    read, asked = start.settings.get("features"), features_identity(features)
    if read and asked and read != asked:
        raise ValueError(f"start: the {model} to start from reads other features: {_differing(read, asked)}")
    return module


def with_residual(oclr: Checkpoint) -> Checkpoint:
    """Give an OCLR the channels of its `residual`, with weights of zero: it first proposes what it proposed before."""
    if oclr.model != "oclr" or oclr.settings["network"].get("residual"):
        return oclr
    first = "encoder.blocks.0.conv1.weight"  # (out, in, 3, 3)
    weight = oclr.tensors[first]
    tensors = {**oclr.tensors, first: torch.cat([weight, torch.zeros_like(weight)], dim=1)}
    network = {**oclr.settings["network"], "residual": True}
    return Checkpoint("oclr", {**oclr.settings, "network": network}, tensors)


def _differing(has: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Describe the entries in which two dictionaries differ; empty if they do not."""
    other = [name for name in sorted(has | wanted) if has.get(name) != wanted.get(name)]
    return ", ".join(f"{name}={has.get(name)} instead of {wanted.get(name)}" for name in other)


def start_files(start: Path, out: Path, models: Sequence[str]) -> dict[str, Path]:
    """Find the checkpoint files in `start`, by network. A network without a file is trained from scratch.

    Raises:
        ValueError: there is no such file, or `start` is also the output folder. In that case, the same command run
            again would start from different weights.
    """
    if start.resolve() == out.resolve():
        raise ValueError(f"start: {start} is the folder to write to; name another one for the results")
    files = {model: start / f"{model}.safetensors" for model in models}
    found = {model: file for model, file in files.items() if file.is_file()}
    if not found:
        raise ValueError(f"start: {start} holds none of {', '.join(file.name for file in files.values())}")
    return found


def start_identity(start: Checkpoint | None) -> dict[str, Any]:
    """Return the recipe entry that identifies the start weights: their own recipe, and a digest of their tensors.

    It is empty for a training from scratch.
    """
    if start is None:
        return {}
    return {"start": {**(start.settings.get("training") or {}), "sha256": tensors_digest(start.tensors)}}


def schedule_for(course: Course) -> Schedule:
    """Return the published schedule for a long run, or one of the same shape with a higher rate for a short run."""
    if course.rate is None and course.steps >= LONG_RUN:
        return Schedule.published()
    return Schedule.scaled(course.steps, SHORT_RUN_RATE if course.rate is None else course.rate)


def synthetic_recipe(
    course: Course,
    photos: Path | None,
    silhouettes: Path | None,
    start: Checkpoint | None,
    features: TokenExtractor | None = None,
) -> dict[str, Any]:
    """Return the recipe entries common to all pre-trainings: course, pictures of the clips, start weights.

    If `features` is given, the recipe also identifies the feature network.
    """
    recipe = {
        "on": TrainedOn.SYNTHETIC_CLIPS.value,
        **course.told(),
        **pictures_identity(photos, silhouettes),
    }
    read = {"features": extractor_identity(features)} if features else {}
    return recipe | start_identity(start) | read


def require_seed(seed: int) -> None:
    """Check that a training sees no clips of its validation.

    Raises:
        ValueError: it has the seed of those clips.
    """
    if seed == VALIDATION_SEED:
        raise ValueError(
            f"seed: {seed} is that of the clips for validation, which no training sees; take another"
        )


def seen_and_unseen(seed: int, **supply: Any) -> tuple[SyntheticClips, SyntheticClips]:
    """Return the clips of a training and similar ones for its validation; `supply`: arguments of `SyntheticClips`.

    Raises:
        ValueError: see `require_seed`.
    """
    require_seed(seed)
    return SyntheticClips(seed=seed, **supply), SyntheticClips(seed=VALIDATION_SEED, **supply)


def pictures_identity(photos: Path | None = None, silhouettes: Path | None = None) -> dict[str, Any]:
    """Return the recipe entries that identify the pictures of the clips by content: a recipe holds no paths.

    Without photos, "photos" is None and textures are procedural. Without silhouettes, there is no such entry.

    Raises:
        ValueError: a folder has no pictures.
    """
    found: dict[str, Any] = {"photos": folder_identity(photos, "photos", SUFFIXES) if photos else None}
    if silhouettes:
        found["silhouettes"] = folder_identity(silhouettes, "silhouettes", MASK_SUFFIXES)
    return found


def folder_identity(folder: Path, what: str, suffixes: Sequence[str]) -> dict[str, Any]:
    """Return the number and a content digest of a folder's pictures."""
    digest = hashlib.sha256()
    paths = list_pictures(folder, what, suffixes)
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return {"count": len(paths), "sha256": digest.hexdigest()}


def finished(
    model: str,
    module: nn.Module,
    *,
    network: dict[str, Any],
    training: dict[str, Any],
    features: TokenExtractor | None = None,
) -> Checkpoint:
    """Return the checkpoint of a trained module, on the CPU."""
    settings = {"network": dict(network), "features": features_identity(features), "training": training}
    return Checkpoint(model, settings, weights_of(module))


def trained(
    model: str,
    module: nn.Module,
    batches: Batches,
    loss: Loss,
    course: Course,
    *,
    network: dict[str, Any],
    recipe: dict[str, Any],
    validation: Batches,
    features: TokenExtractor | None = None,
) -> Checkpoint:
    """Run a pre-training and return its checkpoint; see `models.training.loop.train` and `finished`."""
    whole = recipe | {"network": network}
    train(module, batches, loss, course, schedule=schedule_for(course), recipe=whole, validation=validation)
    return finished(model, module, network=network, training=recipe, features=features)


def with_tokens(network: dict[str, Any], features: TokenExtractor) -> dict[str, Any]:
    """Return the constructor arguments completed for the tokens of a feature network."""
    return {**network, "feature_channels": features.channels}
