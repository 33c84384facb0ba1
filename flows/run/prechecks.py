"""Checks of the settings that need no clip: a setting that is wrong for all clips is found before the first."""

from pathlib import Path

from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.weight_checks import require_precision
from motion_adapt.models.inference.crf import CrfMissing, require_crf
from motion_adapt.models.inputs.downloads import WeightsMissing
from motion_adapt.models.inputs.features import COMPACT, load_features
from motion_adapt.models.inputs.flow_estimators import flow_estimator
from motion_adapt.models.sam.find_sam import SamFiles, SamUnusable, find_sam
from motion_adapt.models.sam.video import require_video
from motion_adapt.tasks.settings import NETWORK_METHODS, FeatureSettings, FlowSettings, SamSettings, Settings


def require_settings(settings: Settings, device: str) -> None:
    """Check flow, features, folders, precision and the CRF.

    Missing weights of flow and features pass: another machine may have them.

    Raises:
        RunError: if no clip could be processed with these settings.
    """
    require_precision(settings, device)
    require_crf_if_used(settings)
    _require_flow(settings.flow)
    if second := settings.oclr_finetuning.second_flow():
        _require_flow(second)
    _require_folder(settings.proposal.folder, "proposal.folder")
    _require_folder(settings.selection.given, "selection.given")
    heads = ("selector", "corrector") if settings.selection.method in NETWORK_METHODS else ("corrector",)
    for head in heads:
        _require_features(settings.features, head)


def find_refiner(settings: SamSettings, *, download: bool = True) -> SamFiles | None:
    """Find the model that refines masks; None if the settings name none.

    Unlike other weights it cannot be missing on this machine, since its files are part of the keys.

    Raises:
        RunError: if it is not there and cannot or must not be downloaded, or is no such model.
    """
    if settings.model is None:
        return None
    try:
        files = find_sam(settings.model, download=download)
        if settings.video:
            require_video(files)
    except (SamUnusable, WeightsMissing) as error:
        raise RunError(str(error)) from error
    return files


def require_crf_if_used(settings: Settings) -> None:
    """Check that the CRF can run, if the settings enable it.

    Raises:
        RunError: if it cannot.
    """
    if settings.crf.enabled:
        try:
            require_crf()
        except CrfMissing as error:
            raise RunError(str(error)) from error


def _require_flow(flow: FlowSettings) -> None:
    if flow.estimator == "flo":
        _require_folder(flow.folder, "flow.folder")
        return
    if flow.weights and not flow.estimator.startswith("raft"):  # as with a preset whose estimator is RAFT
        raise RunError(
            f"flow.estimator={flow.estimator} has no weights, the settings say flow.weights={flow.weights}: add "
            "--set flow.weights=none"
        )
    try:
        flow_estimator(
            flow.estimator, weights=flow.weights, updates=flow.updates, keep_padding=flow.keep_padding
        )
    except ValueError as error:
        raise RunError(f"flow: {error}") from error
    except WeightsMissing:
        return  # the stage says so, where it runs


def _require_features(features: FeatureSettings, head: str) -> None:
    chosen = getattr(features, head)
    if chosen.backbone == COMPACT and chosen.checkpoint is None:
        if chosen.reference:
            raise RunError(f"features.{head}.reference=true is for DINO's ViTs; the backbone is compact")
        return  # its file is among the start weights
    try:
        if chosen.backbone != COMPACT:
            from motion_adapt.models.inputs.timm_vits import require_vit  # timm takes seconds to import

            require_vit(chosen.backbone)
        if chosen.checkpoint is not None and Path(chosen.checkpoint).is_file():
            load_features(chosen.backbone, checkpoint=chosen.checkpoint, reference=chosen.reference)
    except ValueError as error:
        raise RunError(f"features.{head}: {error}") from error


def _require_folder(folder: str | None, field: str) -> None:
    if folder is not None and not Path(folder).is_dir():
        raise RunError(f"{field}: there is no folder {folder}")
