"""Validation: the networks of a pre-training together, on synthetic clips that no training uses."""

from typing import Any

from motion_adapt.models.inference.proposal_judges import propagation_judge
from motion_adapt.models.pretraining.validation import validate_pipeline
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.checkpoints import get_checkpoint
from motion_adapt.tasks.features import load_backbone
from motion_adapt.tasks.pretraining import paths
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import NotKeyed, stage
from motion_adapt.tasks.settings import FeatureSettings


@stage("validation", version=5, gpu=True)
def validate(
    oclr: Artifact,
    selector: Artifact,
    corrector: Artifact,
    selector_features: Artifact | None,
    corrector_features: Artifact | None,
    *,
    backbones: FeatureSettings,
    exemplars_by: str,
    clips: int,
    frames: int,
    flow: str,
    pictures: dict[str, Any],
    folders: NotKeyed[dict[str, str]],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Validate the trained networks together on synthetic clips that no training uses.

    Exemplars are chosen in the way that `exemplars_by` names, as in the corrector's training; instead of "truth",
    propagation is used. The summary holds the metrics, by the names of `Validation`.
    """
    tokens = [
        load_backbone(place.store, weights, backbone.backbone, backbone.reference, place.device)
        for weights, backbone in (
            (selector_features, backbones.selector),
            (corrector_features, backbones.corrector),
        )
    ]
    with track(clips, "validate") as advance:
        figures = validate_pipeline(
            get_checkpoint(place, oclr),
            get_checkpoint(place, selector),
            get_checkpoint(place, corrector),
            tokens[1],
            judge_features=tokens[0],
            chosen_by=None if exemplars_by == "selector" else propagation_judge(device=place.device),
            clips=clips,
            frames=frames,
            flow=flow,
            **paths(folders),
            device=place.device,
            on_clip=advance,
        )._asdict()
    out.summary = {name: value for name, value in figures.items() if value == value}  # not NaN
