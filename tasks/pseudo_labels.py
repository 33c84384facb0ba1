"""Pseudo-labelling: refined masks become the targets of adaptation (paper 3.4).

The corrector learns from an object's exemplar frames only; OCLR learns from all frames.
"""

import numpy as np

from motion_adapt.models.inputs.still_frames import stretches
from motion_adapt.models.networks.lineage import masks_by_hand
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.by_hand import BY_HAND, by_hand_of
from motion_adapt.tasks.runtime.dims import MASK_DIMS, ROW_DIMS
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import stage


@stage("pseudo-labels", version=2)
def label(masks: Artifact, selection: Artifact, *, place: Place, out: ArtifactWriter) -> None:
    """Write the targets: `masks` bool (T, K, 128, 224) as given, `exemplars` bool (T, K) and `moving`.

    `moving` bool (T,) is False for frames without motion, from which nothing is learnt. The summary counts the other
    frames in which any object has a mask: a clip without one is not trained on. With masks by hand, it counts those
    too, and `by_hand` bool (T,) says where they are.
    """
    store = place.open()
    taught, chosen = store.open(masks), store.open(selection)
    moving = np.asarray(chosen.array("moving")[:])
    masked = []
    for _, block in taught.array("masks").blocks():
        out.append("masks", block, MASK_DIMS)
        masked.append(block.any(axis=(1, 2, 3)))
    teaching = np.zeros_like(moving)
    for first, last in stretches(moving):
        teaching[first : last + 1] = last > first  # a single frame is no clip
    labelled = int((np.concatenate(masked) & teaching).sum())
    out.append("moving", moving, ("time",))
    out.append("exemplars", chosen.array("exemplars")[:], ROW_DIMS)
    by_hand = by_hand_of(taught)
    if by_hand is not None:
        out.append(BY_HAND, by_hand, ("time",))
    count = 0 if by_hand is None else int(by_hand.sum())
    out.summary = {"frames": taught.summary["frames"], "labelled_frames": labelled, **masks_by_hand(count)}
    if "refined_by" in taught.summary:  # a model that has seen annotations
        out.summary["refined_by"] = taught.summary["refined_by"]
