"""What trainings share: the network they start from, the learning rate, the checkpoint they end in."""

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
from motion_adapt.models.synthetic.shapes import MASK_SUFFIXES
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.models.synthetic.textures import SUFFIXES, list_pictures
from motion_adapt.models.training.batches import Batches
from motion_adapt.models.training.course import Course, Schedule
from motion_adapt.models.training.loop import VALIDATION_SEED, Loss, train

LONG_RUN = 100_000
RARE = -2.0  # logit of what about one pixel in eight shows
SHORT_RUN_RATE = 1e-3


def fresh_network(
    build: Callable[..., nn.Module],
    arguments: dict[str, Any],
    seed: int,
    *,
    first_guess: float | Sequence[float] | None = None,
) -> nn.Module:
    """A network with random weights that depend on the seed alone.

    first_guess: logits of the output channels before any training. Most pixels show no object and most of a
    proposal is right; a network that starts from there need not spend its first hundreds of steps on it.
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
    """The network that a training begins with: the weights of `start`, or random ones, see `fresh_network`.

    Raises ValueError where `start` is another model, has other arguments than `network`, or reads other tokens than
    those of `features`.
    """
    if start is None:
        return fresh_network(partial(new_network, model, network), {}, seed, first_guess=first_guess)
    module = build_network(start, expect=model)
    has, wanted = (all_arguments(model, arguments) for arguments in (start.settings["network"], network))
    other = [name for name in sorted(has | wanted) if has.get(name) != wanted.get(name)]
    if other:
        differ = ", ".join(f"{name}={has.get(name)} instead of {wanted.get(name)}" for name in other)
        raise ValueError(f"start: the {model} to go on from is another network: {differ}")
    read, asked = start.settings.get("features"), features_identity(features)
    if read and asked and read["name"] != asked["name"]:
        raise ValueError(
            f"start: the {model} to go on from reads features '{read['name']}', not '{asked['name']}'"
        )
    return module


def start_files(start: Path, out: Path, models: Sequence[str]) -> dict[str, Path]:
    """The files of `start` that trainings go on from, by network; a network without a file there starts from scratch.

    Raises ValueError where there is none, and where `start` is the folder that is written to: the same command
    started again would go on from other weights.
    """
    if start.resolve() == out.resolve():
        raise ValueError(f"start: {start} is the folder to write to; name another one for the results")
    files = {model: start / f"{model}.safetensors" for model in models}
    found = {model: file for model, file in files.items() if file.is_file()}
    if not found:
        raise ValueError(f"start: {start} holds none of {', '.join(file.name for file in files.values())}")
    return found


def start_identity(start: Checkpoint | None) -> dict[str, Any]:
    """The entry of a recipe that says what the training went on from: its own training, and a digest of its tensors.

    Nothing is said of a training from scratch.
    """
    if start is None:
        return {}
    return {"start": {**(start.settings.get("training") or {}), "sha256": tensors_digest(start.tensors)}}


def schedule_for(course: Course) -> Schedule:
    """The published schedule for long runs, its shape with a higher rate for short ones."""
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
    """What the recipe of any pre-training says: its course, the pictures of its clips, the weights it goes on from.

    That of a head says whose tokens it reads, too.
    """
    recipe = {"on": "synthetic clips", **course.told(), **pictures_identity(photos, silhouettes)}
    read = {"features": extractor_identity(features)} if features else {}
    return recipe | start_identity(start) | read


def seen_and_unseen(seed: int, **supply: Any) -> tuple[SyntheticClips, SyntheticClips]:
    """The clips of a training, and others like them that it is validated on; `supply`: of `SyntheticClips`."""
    return SyntheticClips(seed=seed, **supply), SyntheticClips(seed=VALIDATION_SEED, **supply)


def pictures_identity(photos: Path | None = None, silhouettes: Path | None = None) -> dict[str, Any]:
    """The entries of a recipe that say which pictures clips are made of, by content: a recipe names no path.

    Without photos, which means procedural textures, there is None; without silhouettes nothing is said. ValueError for
    a folder without pictures.
    """
    found: dict[str, Any] = {"photos": folder_identity(photos, "photos", SUFFIXES) if photos else None}
    if silhouettes:
        found["silhouettes"] = folder_identity(silhouettes, "silhouettes", MASK_SUFFIXES)
    return found


def folder_identity(folder: Path, what: str, suffixes: Sequence[str]) -> dict[str, Any]:
    """Number and content digest of the pictures of a folder."""
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
    """The checkpoint of a trained module, on the CPU."""
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
    """Constructor arguments for the tokens of a feature network."""
    return {**network, "feature_channels": features.channels}
