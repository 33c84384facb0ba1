"""Pre-training of each network from scratch on synthetic clips, one stage per network (paper A.3; OCLR's paper)."""

from pathlib import Path
from typing import Any

from pydantic import Field

from motion_adapt.models.pretraining.train_corrector import pretrain_corrector
from motion_adapt.models.pretraining.train_features import pretrain_features
from motion_adapt.models.pretraining.train_oclr import pretrain_oclr
from motion_adapt.models.pretraining.train_selector import pretrain_selector
from motion_adapt.models.training.course import Course
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.checkpoints import get_checkpoint
from motion_adapt.tasks.features import load_backbone
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import NotKeyed, stage
from motion_adapt.tasks.settings import BackboneSettings, StageSettings, TrainingPrecision
from motion_adapt.tasks.training import training


class CourseSettings(StageSettings):
    """Hyperparameters of a pre-training; `rate` None is the training's own default."""

    steps: int
    seed: int
    rate: float | None
    precision: TrainingPrecision
    # excluded from keys: how often the state is saved, and how many processes draw clips, changes no result
    checkpoint_every: int = Field(exclude=True)
    workers: int = Field(exclude=True)

    def planned(self) -> Course:
        """Return the same hyperparameters for the training loops."""
        return Course(**dict(self))


def paths(folders: dict[str, str]) -> dict[str, Any]:
    """Return folders of pictures as paths, by the training loops' argument names."""
    return {name: Path(folder) for name, folder in folders.items()}


@stage("pretrained-features", version=4, gpu=True)
def train_features(
    start: Artifact | None,
    *,
    network: dict[str, Any],
    sees: dict[str, Any],
    course: CourseSettings,
    pictures: dict[str, Any],
    folders: NotKeyed[dict[str, str]],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Train the compact feature network.

    These arguments are the same in all stages of this file.

    Args:
        start: the weights to continue from; None trains from scratch.
        network: the network's constructor arguments.
        sees: the data of one training step: batch, frames and so on (models/networks/sizes.py).
        course: hyperparameters of the training.
        pictures: identity of the contents of `folders`.
        folders: the folders of photos and silhouettes, if any.
    """
    with training(place, out, course.planned()) as (placed, publish):
        publish(
            pretrain_features(
                placed,
                **paths(folders),
                network=network,
                start=get_checkpoint(place, start) if start else None,
                **sees,
            )
        )


@stage("pretrained-oclr", version=7, gpu=True)
def train_oclr(
    start: Artifact | None,
    *,
    network: dict[str, Any],
    sees: dict[str, Any],
    course: CourseSettings,
    flow: str,
    pictures: dict[str, Any],
    folders: NotKeyed[dict[str, str]],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Train OCLR on synthetic flow."""
    with training(place, out, course.planned()) as (placed, publish):
        publish(
            pretrain_oclr(
                placed,
                **paths(folders),
                network=network,
                start=get_checkpoint(place, start) if start else None,
                **sees,
                flow=flow,
            )
        )


@stage("pretrained-head", version=8, gpu=True)
def train_head(
    oclr: Artifact,
    features: Artifact | None,
    start: Artifact | None,
    judge: Artifact | None,
    judge_features: Artifact | None,
    *,
    model: str,
    backbone: BackboneSettings,
    judge_backbone: BackboneSettings | None,
    network: dict[str, Any],
    sees: dict[str, Any],
    course: CourseSettings,
    flow: str,
    pool: int,
    pictures: dict[str, Any],
    folders: NotKeyed[dict[str, str]],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Train the `model` "selector" or "corrector" on proposals of `oclr` and tokens of a feature network.

    `judge` is the selector that chooses a corrector's exemplars, or None; it reads tokens of its own features.
    """
    train = {"selector": pretrain_selector, "corrector": pretrain_corrector}[model]
    extractor = load_backbone(place.store, features, backbone.backbone, backbone.reference, place.device)
    chosen_by: dict[str, Any] = {}
    if judge and judge_backbone:
        read = judge_backbone.backbone, judge_backbone.reference, place.device
        chosen_by = {"selector": get_checkpoint(place, judge),
                     "selector_features": load_backbone(place.store, judge_features, *read)}  # fmt: skip
    with training(place, out, course.planned()) as (placed, publish):
        publish(
            train(
                get_checkpoint(place, oclr),
                placed,
                features=extractor,
                **paths(folders),
                network=network,
                start=get_checkpoint(place, start) if start else None,
                **sees,
                **chosen_by,
                flow=flow,
                pool=pool,
            )
        )
