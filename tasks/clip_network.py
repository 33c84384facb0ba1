"""Clip network: train a network on the masks of one clip, and combine its masks with them.

It starts from a shared network, which learns the masks of many clips.
"""

from dataclasses import replace

import numpy as np

from motion_adapt.models.adaptation.clip_network import (
    Mean,
    Replaced,
    Segmented,
    fit_clip_network,
    foreground_iou,
)
from motion_adapt.models.adaptation.shared_network import fit_shared_network
from motion_adapt.models.inference.smoothing import smooth
from motion_adapt.models.inputs.imaging import hard_masks
from motion_adapt.models.inputs.rounding import rounded_probabilities
from motion_adapt.models.inputs.still_frames import BLANK
from motion_adapt.models.networks.lineage import masks_by_hand
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.by_hand import BY_HAND, by_hand_of
from motion_adapt.tasks.checkpoints import get_checkpoint, get_network
from motion_adapt.tasks.proposal import kinds_of
from motion_adapt.tasks.runtime.dims import MASK_DIMS
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import stage
from motion_adapt.tasks.settings import ClipNetworkSettings, SharedNetworkSettings, SmoothingSettings
from motion_adapt.tasks.training import course_of, training


@stage("clip-network", version=3, gpu=True)
def train_on_clip(
    frames: Artifact,
    masks: Artifact,
    start: Artifact | None,
    *,
    settings: ClipNetworkSettings,
    seed: int,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Train a network on the probabilities of one clip's masks; the key is the clip's own. Weights are kept in 16 bits.

    `start` is a shared network; None means random weights.
    """
    store = place.open()
    rgb = store.open(frames).array("rgb")
    planned = replace(course_of(settings, seed), steps=settings.steps_for(len(rgb)))
    taught = store.open(masks)
    marks = by_hand_of(taught)
    by_hand = [] if marks is None else np.flatnonzero(marks).tolist()
    with training(place, out, planned) as (course, publish):
        publish(
            fit_clip_network(
                rgb,
                taught.array("probabilities"),
                course,
                batch=settings.batch,
                start=get_checkpoint(place, start) if start else None,
                given=by_hand,
                recipe={"labels": [masks.key], **masks_by_hand(len(by_hand))},
            )
        )


@stage("shared-network", version=1, gpu=True)
def train_on_clips(
    frames: list[Artifact],
    masks: list[Artifact],
    start: Artifact | None,
    *,
    settings: SharedNetworkSettings,
    seed: int,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Train a network on the foreground of all clips, or `start` further; each list has one item per clip."""
    store = place.open()
    marks = (by_hand_of(store.open(made)) for made in masks)
    by_hand = sum(0 if mark is None else int(mark.sum()) for mark in marks)
    clips = [
        (store.open(one).array("rgb"), store.open(other).array("probabilities"))
        for one, other in zip(frames, masks, strict=True)
    ]
    with training(place, out, course_of(settings, seed)) as (course, publish):
        publish(
            fit_shared_network(
                clips,
                course,
                batch=settings.batch,
                start=get_checkpoint(place, start) if start else None,
                recipe={"labels": [made.key for made in masks], **masks_by_hand(by_hand)},
            )
        )


@stage("clip-masks", version=6, gpu=True)
def segment_clip(
    frames: Artifact,
    flow: Artifact,
    proposal: Artifact,
    masks: Artifact,
    weights: Artifact,
    *,
    agreement: float,
    sizes: tuple[float, ...],
    smoothing: SmoothingSettings,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Average the probabilities of a clip with those of its network, and smooth them along the flow.

    `sizes`: those at which the network sees the frames, times 128 x 224.

    If the network shows something else than it learnt, an IoU below `agreement`, the clip keeps what it had.

    Makes `masks` bool (T, K, 128, 224), disjoint, and `probabilities` f16 of the same shape. The summary has the IoU,
    and whether the network was used.
    """
    store, net = place.open(), get_network(place, weights, "clip-network")
    kept, motion = store.open(masks), store.open(flow)
    given, by_hand = kept.array("probabilities"), by_hand_of(kept)
    fixed = np.zeros(len(given), np.bool_) if by_hand is None else by_hand
    if by_hand is not None:
        out.append(BY_HAND, by_hand, ("time",))
    rgb = store.open(frames).array("rgb")
    # Whatever the network sees there, such a frame shows nothing.
    blank = kinds_of(store.open(proposal)) == BLANK
    iou = foreground_iou(Segmented(net, rgb, sizes=[1.0]), given)  # at the size that it learnt the masks at
    used = iou >= agreement
    at = np.flatnonzero(fixed).tolist()
    found = smooth(
        Replaced(Mean(Segmented(net, rgb, sizes), given), given, at) if used else given,
        motion.array("flow"),
        iterations=smoothing.iterations if used and smoothing.enabled else 0,
        weight=smoothing.weight,
        gap=motion.summary["gap"],
        apart=blank,
        fixed=fixed,
    )
    with track(len(given), f"segment {place.label} by its network") as advance:
        for index, (frame, empty) in enumerate(zip(found, blank, strict=True)):
            if empty and not fixed[index]:
                frame *= 0
            out.append("masks", hard_masks(frame[None]) if used else kept.array("masks")[[index]], MASK_DIMS)
            out.append("probabilities", rounded_probabilities(frame[None]), MASK_DIMS)
            advance(1)
    out.summary = {"frames": len(given), "agreement": iou, "used": used}
