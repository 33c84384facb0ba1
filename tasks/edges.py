"""Edges: bring the borders of a clip's masks to where colour or motion changes."""

import numpy as np

from motion_adapt.models.inference.edges import follow_edges as follow_edges_of_frame
from motion_adapt.models.inputs.imaging import hard_masks, rounded_probabilities
from motion_adapt.models.inputs.readable import pieces
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.by_hand import BY_HAND, by_hand_of
from motion_adapt.tasks.runtime.dims import MASK_DIMS
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import stage
from motion_adapt.tasks.settings import EdgeSettings

CHUNK = 16  # frames read at once


@stage("edges", version=1)
def follow_edges(
    frames: Artifact,
    flow: Artifact,
    masks: Artifact,
    *,
    settings: EdgeSettings,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Average a clip's probabilities over nearby pixels that look and move alike. Masks by hand stay as they are.

    Makes `masks` bool (T, K, 128, 224), disjoint, and `probabilities` f16 of the same shape, multiples of 1/256.
    """
    store = place.open()
    rgb, motion, given = store.open(frames).array("rgb"), store.open(flow), store.open(masks)
    probabilities, by_hand = given.array("probabilities"), by_hand_of(given)
    gap = motion.summary["gap"]
    fixed = np.zeros(len(rgb), np.bool_) if by_hand is None else by_hand
    if by_hand is not None:
        out.append(BY_HAND, by_hand, ("time",))
    clips = pieces(rgb, motion.array("flow"), probabilities, fixed, chunk=CHUNK)
    with track(len(rgb), f"follow edges in {place.label}") as advance:
        for frame, there, chances, keep in (row for piece in clips for row in zip(*piece, strict=True)):
            found = chances.astype(np.float32)
            if not keep:
                found = follow_edges_of_frame(
                    frame,
                    there[:2] / np.float32(gap),
                    found,
                    iterations=settings.iterations,
                    colour=settings.colour,
                    motion=settings.motion,
                    own=settings.own,
                )
            out.append("masks", hard_masks(found[None]), MASK_DIMS)
            out.append("probabilities", rounded_probabilities(found[None]), MASK_DIMS)
            advance(1)
    out.summary = {"frames": len(rgb)}
