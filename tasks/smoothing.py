"""Smoothing: make corrected masks agree from frame to frame along the flow."""

import numpy as np

from motion_adapt.models.inference.carrying import Carried
from motion_adapt.models.inference.smoothing import smooth as smooth_probabilities
from motion_adapt.models.inputs.imaging import hard_masks
from motion_adapt.models.inputs.readable import Readable
from motion_adapt.models.inputs.rounding import rounded_probabilities
from motion_adapt.models.inputs.still_frames import BLANK
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.by_hand import BY_HAND, by_hand_of
from motion_adapt.tasks.proposal import kinds_of
from motion_adapt.tasks.runtime.dims import MASK_DIMS
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import stage
from motion_adapt.tasks.settings import SmoothingSettings


@stage("smoothing", version=4)
def smooth(
    flow: Artifact,
    proposal: Artifact,
    correction: Artifact,
    *,
    settings: SmoothingSettings,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Smooth a clip's probabilities along the flow; frames that show nothing and masks by hand stay as they are.

    Masks by hand are first carried along the flow to the frames around them.

    Makes `masks` bool (T, K, 128, 224), disjoint, and `probabilities` f16 of the same shape, multiples of 1/32.
    """
    store = place.open()
    corrected, motion = store.open(correction), store.open(flow)
    given: Readable = corrected.array("probabilities")
    flow_of_clip, gap, by_hand = motion.array("flow"), motion.summary["gap"], by_hand_of(corrected)
    blank = kinds_of(store.open(proposal)) == BLANK
    if by_hand is not None:
        out.append(BY_HAND, by_hand, ("time",))
        given = Carried(given, flow_of_clip, np.flatnonzero(by_hand).tolist(), gap=gap, apart=blank)
    total = given.shape[0]
    with track(total, f"smooth {place.label}") as advance:
        for found in smooth_probabilities(
            given,
            flow_of_clip,
            iterations=settings.iterations,
            weight=settings.weight,
            gap=gap,
            apart=blank,
            fixed=by_hand,
        ):
            out.append("masks", hard_masks(found[None]), MASK_DIMS)
            out.append("probabilities", rounded_probabilities(found[None]), MASK_DIMS)
            advance(1)
    out.summary = {"frames": total}
