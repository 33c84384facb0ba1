"""Pre-training: the networks from scratch on synthetic clips, one stage each (paper A.3; OCLR's paper)."""

from pathlib import Path
from typing import Any

from models.train_corrector import pretrain_corrector
from models.train_features import pretrain_features
from models.train_oclr import pretrain_oclr
from models.train_selector import pretrain_selector
from storage.keys import Artifact
from storage.writer import ArtifactWriter
from tasks.curves import training
from tasks.features import load_backbone
from tasks.settings import BackboneSettings
from tasks.stage import NotKeyed, Place, stage
from tasks.weights import get_checkpoint


@stage("pretrained-features", version=1, gpu=True)
def train_features(
    *,
    network: dict[str, Any],
    sees: dict[str, int],
    steps: int,
    seed: int,
    photos: dict[str, Any] | None,
    folder: NotKeyed[str | None],
    checkpoint_every: NotKeyed[int],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Train the compact feature network; `photos` is the identity of what `folder` holds.

    `sees` says what a step of the training sees (models/sizes.py), here and below.
    """
    with training(place, out, steps) as (state, on_step, publish):
        publish(
            pretrain_features(
                steps=steps,
                seed=seed,
                device=place.device,
                photos=Path(folder) if folder else None,
                network=network,
                **sees,
                state=state,
                checkpoint_every=checkpoint_every,
                on_step=on_step,
            )
        )


@stage("pretrained-oclr", version=1, gpu=True)
def train_oclr(
    *,
    network: dict[str, Any],
    sees: dict[str, int],
    steps: int,
    flow: str,
    seed: int,
    photos: dict[str, Any] | None,
    folder: NotKeyed[str | None],
    checkpoint_every: NotKeyed[int],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Train OCLR on synthetic flow."""
    with training(place, out, steps) as (state, on_step, publish):
        publish(
            pretrain_oclr(
                steps=steps,
                seed=seed,
                device=place.device,
                photos=Path(folder) if folder else None,
                network=network,
                **sees,
                flow=flow,
                state=state,
                checkpoint_every=checkpoint_every,
                on_step=on_step,
            )
        )


@stage("pretrained-head", version=1, gpu=True)
def train_head(
    oclr: Artifact,
    features: Artifact | None,
    *,
    model: str,
    backbone: BackboneSettings,
    network: dict[str, Any],
    sees: dict[str, int],
    steps: int,
    flow: str,
    pool: int,
    seed: int,
    photos: dict[str, Any] | None,
    folder: NotKeyed[str | None],
    checkpoint_every: NotKeyed[int],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Train the `model` "selector" or "corrector" on proposals of `oclr` and tokens of a feature network."""
    train = {"selector": pretrain_selector, "corrector": pretrain_corrector}[model]
    extractor = load_backbone(place.store, features, backbone.backbone, backbone.reference, place.device)
    with training(place, out, steps) as (state, on_step, publish):
        publish(
            train(
                get_checkpoint(place, oclr),
                features=extractor,
                steps=steps,
                seed=seed,
                device=place.device,
                photos=Path(folder) if folder else None,
                network=network,
                **sees,
                flow=flow,
                pool=pool,
                state=state,
                checkpoint_every=checkpoint_every,
                on_step=on_step,
            )
        )
