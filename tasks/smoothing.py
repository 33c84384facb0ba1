"""Smoothing: make corrected masks agree from frame to frame along the flow."""

from motion_adapt.models.inference.smoothing import smooth as smooth_probabilities
from motion_adapt.models.inputs.imaging import hard_masks, rounded_probabilities
from motion_adapt.models.inputs.still_frames import BLANK
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.proposal import kinds_of
from motion_adapt.tasks.runtime.dims import MASK_DIMS
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import stage
from motion_adapt.tasks.settings import SmoothingSettings


@stage("smoothing", version=2)
def smooth(
    flow: Artifact,
    proposal: Artifact,
    correction: Artifact,
    *,
    settings: SmoothingSettings,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Smooth a clip's probabilities along the flow; frames that show nothing stay as they are.

    Makes `masks` bool (T, K, 128, 224), disjoint, and `probabilities` f16 of the same shape, multiples of 1/256.
    """
    store = place.open()
    given, motion = store.open(correction).array("probabilities"), store.open(flow)
    with track(len(given), f"smooth {place.label}") as advance:
        for found in smooth_probabilities(
            given,
            motion.array("flow"),
            iterations=settings.iterations,
            weight=settings.weight,
            gap=motion.summary["gap"],
            apart=kinds_of(store.open(proposal)) == BLANK,
        ):
            out.append("masks", hard_masks(found[None]), MASK_DIMS)
            out.append("probabilities", rounded_probabilities(found[None]), MASK_DIMS)
            advance(1)
    out.summary = {"frames": len(given)}
