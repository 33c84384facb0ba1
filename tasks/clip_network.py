"""Clip network: train a network on the masks of one clip, and average its masks with them.

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
from motion_adapt.models.networks.checkpoints import build_network
from motion_adapt.models.networks.lineage import masks_by_hand
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.by_hand import BY_HAND, by_hand_of
from motion_adapt.tasks.checkpoints import get_checkpoint
from motion_adapt.tasks.proposal import kinds_of
from motion_adapt.tasks.runtime.dims import MASK_DIMS
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import stage
from motion_adapt.tasks.settings import ClipNetworkSettings, SharedNetworkSettings, SmoothingSettings
from motion_adapt.tasks.training import course_of, training


@stage("clip-network", version=5, gpu=True)
def segment_clip(
    frames: Artifact,
    flow: Artifact,
    proposal: Artifact,
    masks: Artifact,
    start: Artifact | None,
    *,
    settings: ClipNetworkSettings,
    smoothing: SmoothingSettings,
    seed: int,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Train a network on the probabilities of one clip's masks; average its own with them, and smooth along the flow.

    `start` is a shared network; None means random weights. The network itself is not kept.

    If it shows something else than it learnt, an IoU below `settings.agreement`, the clip keeps what it had.

    Makes `masks` bool (T, K, 128, 224), disjoint, and `probabilities` f16 of the same shape. The summary has the IoU,
    whether the network was used, and its `training`.
    """
    store = place.open()
    rgb, motion, kept = store.open(frames).array("rgb"), store.open(flow), store.open(masks)
    given, by_hand = kept.array("probabilities"), by_hand_of(kept)
    fixed = np.zeros(len(given), np.bool_) if by_hand is None else by_hand
    at = np.flatnonzero(fixed).tolist()
    planned = replace(course_of(settings, seed), steps=settings.steps_for(len(rgb)))
    with training(place, out, planned) as (course, _):
        checkpoint = fit_clip_network(
            rgb,
            given,
            course,
            batch=settings.batch,
            start=get_checkpoint(place, start) if start else None,
            given=at,
            recipe={"labels": [masks.key], **masks_by_hand(len(at))},
        )
    net = build_network(checkpoint, place.device, expect="clip-network")
    # Whatever the network sees there, such a frame shows nothing.
    blank = kinds_of(store.open(proposal)) == BLANK
    iou = foreground_iou(Segmented(net, rgb, sizes=[1.0]), given)  # at the size that it learnt the masks at
    used = iou >= settings.agreement
    found = smooth(
        Replaced(Mean(Segmented(net, rgb, settings.sizes), given), given, at) if used else given,
        motion.array("flow"),
        iterations=smoothing.iterations if used and smoothing.enabled else 0,
        weight=smoothing.weight,
        gap=motion.summary["gap"],
        apart=blank,
        fixed=fixed,
    )
    if by_hand is not None:
        out.append(BY_HAND, by_hand, ("time",))
    with track(len(given), f"segment {place.label} by its network") as advance:
        for index, (frame, empty) in enumerate(zip(found, blank, strict=True)):
            if empty and not fixed[index]:
                frame *= 0
            out.append("masks", hard_masks(frame[None]) if used else kept.array("masks")[[index]], MASK_DIMS)
            out.append("probabilities", rounded_probabilities(frame[None]), MASK_DIMS)
            advance(1)
    learnt = checkpoint.settings["training"]
    out.summary |= {"frames": len(given), "agreement": iou, "used": used, "training": learnt}


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
