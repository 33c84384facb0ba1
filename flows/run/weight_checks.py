"""Checks of start weights: they must match the settings, the device and each other. Also their provenance."""

import inspect
from collections.abc import Mapping
from typing import Any

from motion_adapt.flows.run.errors import RunError
from motion_adapt.models.inputs.features import feature_provenance
from motion_adapt.models.inputs.flow_estimators import flow_provenance
from motion_adapt.models.networks.corrector import MaskCorrector
from motion_adapt.models.networks.lineage import by_hand_text, trainings_of
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.storage.names import count_of
from motion_adapt.tasks.settings import NETWORK_METHODS, Settings

SMOKE_STEPS = 1000  # a network trained for fewer steps only shows that the machinery runs


def require_precision(settings: Settings, device: str) -> None:
    """Check that the device can compute in the settings' precision.

    Raises:
        RunError: if it cannot.
    """
    if settings.precision != "float32" and device == "cpu":
        raise RunError(
            f"precision={settings.precision} needs a GPU: a CPU would not be faster with it; leave it at float32"
        )


def require_fit(settings: Settings, trained: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that K, the features and the selector's head are those of the settings; `trained`: checkpoints' settings.

    Raises:
        RunError: if they differ.
    """
    for model, build, name in (("oclr", OCLR, "num_queries"), ("corrector", MaskCorrector, "num_objects")):
        if model not in trained:
            continue
        network = trained[model]["network"]
        objects = network.get(name, inspect.signature(build).parameters[name].default)
        if objects != settings.objects:
            raise RunError(
                f"the {model} checkpoint has {count_of(objects, 'object')}, the settings say objects={settings.objects}"
            )
    for model, backbone in (
        ("selector", settings.features.selector),
        ("corrector", settings.features.corrector),
    ):
        seen = trained[model].get("features") if model in trained else None
        if seen and seen["name"] != backbone.backbone:
            raise RunError(
                f"the {model} checkpoint was trained on features '{seen['name']}', "
                f"the settings say features.{model}.backbone='{backbone.backbone}'"
            )

    if "selector" in trained:
        head = trained["selector"]["network"].get("head", "error_map")
        if head != settings.selection.method:
            raise RunError(
                f"the selector checkpoint is of the kind '{head}', the settings say "
                f"selection.method={settings.selection.method}; a selector of that kind is trained by\n"
                f"  motion-adapt pretrain --out DIR --set selection.method={settings.selection.method}"
            )


def provenance(settings: Settings, *, by_hand: int = 0, learnt: int = 0) -> dict[str, str]:
    """Return where flow and features come from, whether labels were used for them, and how final masks are computed.

    Args:
        settings: of the run.
        by_hand: number of masks by hand of the run.
        learnt: number of masks by hand that its start weights learnt from.
    """
    told = {"flow": flow_provenance(settings.flow.estimator, settings.flow.weights)}
    if settings.adds_dis:
        told["second flow"] = "DIS, " + flow_provenance("dis")
    for grid, backbone in (
        ("selector", settings.features.selector),
        ("corrector", settings.features.corrector),
    ):
        if grid == "corrector" or settings.selection.method in NETWORK_METHODS:
            told[f"{grid} features"] = feature_provenance(backbone.backbone, backbone.checkpoint)
    correctors = (
        "a corrector of each clip's own" if settings.per_clip.enabled else "one corrector for all clips"
    )
    told["final masks"] = f"{correctors}, {'with' if settings.crf.enabled else 'without'} CRF"
    if settings.sam.model:
        told["final masks"] += f", refined by {settings.sam.model}"
        told["annotations"] = not_label_free(settings)
    if by_hand or learnt:
        notes = [f"this run has {by_hand_text(by_hand)}"] if by_hand else []
        notes += [f"its start weights learnt from {by_hand_text(learnt)}"] if learnt else []
        told["labels"] = f"{' and '.join(notes)}: its results are not label-free"
    return told


def not_label_free(settings: Settings) -> str:
    """Return why the results of a run with these settings are not label-free; empty if the settings are no reason."""
    if not settings.sam.model:
        return ""
    what = "final masks and pseudo-labels" if settings.sam.teach else "final masks"
    return f"{settings.sam.model}, which refines {what}, was trained with human annotations: they are not label-free"


def is_smoke(settings: Mapping[str, Any]) -> bool:
    """Return whether all pre-trainings that a checkpoint is based on were too short for its results to mean anything.

    Adaptations are short by nature and do not count. An imported checkpoint does not state its number of steps and
    counts as trained long enough.
    """
    pretrainings = [
        training
        for training in trainings_of(settings)
        if training.from_scratch or (training.on and training.on.is_synthetic)
    ]
    lengths = [SMOKE_STEPS if training.steps is None else training.steps for training in pretrainings]
    return bool(lengths) and max(lengths) < SMOKE_STEPS
