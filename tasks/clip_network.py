"""Clip network: train a network on the masks of one clip, and average its masks with them.

It starts from a shared network, which learns the masks of many clips, and gives a second opinion on those of this one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from motion_adapt.models.adaptation.clip_network import (
    Mean,
    Replaced,
    Segmented,
    fit_clip_network,
    foreground_iou,
)
from motion_adapt.models.adaptation.second_opinion import AmongObjects
from motion_adapt.models.adaptation.shared_network import fit_shared_network
from motion_adapt.models.inference.smoothing import smooth
from motion_adapt.models.inference.threshold import choose_threshold, pairs_looked_at
from motion_adapt.models.inputs.imaging import hard_masks
from motion_adapt.models.inputs.own_speed import WithSpeed
from motion_adapt.models.inputs.readable import Readable, SomeFrames
from motion_adapt.models.inputs.rounding import rounded_probabilities
from motion_adapt.models.inputs.still_frames import BLANK
from motion_adapt.models.networks.checkpoints import build_network
from motion_adapt.models.networks.lineage import masks_by_hand
from motion_adapt.storage.artifacts.arrays import StoredArray
from motion_adapt.storage.artifacts.reader import ArtifactReader
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


@stage("second-opinion", version=2, gpu=True)
def ask_shared_network(
    frames: Artifact,
    flow: Artifact,
    speed: Artifact,
    proposal: Artifact,
    masks: Artifact,
    network: Artifact,
    *,
    settings: ClipNetworkSettings,
    smoothing: SmoothingSettings,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Average the probabilities of one clip's masks with those of the shared network, and smooth along the flow.

    The opinion is `used` if the network sees the same object, an IoU of `settings.agreement` or more, and if the
    averaged masks fit the clip better than those given (models/inference/threshold.py). The summary has the IoU, and
    the `fit` of both, without and with the opinion. If the IoU is too low, there are no arrays and no `fit`.

    `network` is the shared network, which sees motion. Everything else is as for `segment_clip`.
    """
    clip = ClipToRefine.read(place, flow, proposal, masks)
    net = build_network(get_checkpoint(place, network), place.device, expect="clip-network")
    shown = seen_by_network(place, frames, speed)
    own = AmongObjects(Segmented(net, shown, settings.sizes), clip.given)
    iou = foreground_iou(own, clip.given)
    out.summary |= {"agreement": iou, "used": False}
    if iou < settings.agreement:
        return
    looked_at = {index for pair in pairs_looked_at(len(clip.given), clip.gap, clip.by_hand) for index in pair}
    mean = clip.write_mean(own, smoothing, out, place, f"second opinion on {place.label}", keep=looked_at)
    rgb = place.open().open(frames).array("rgb")
    without, with_it = clip.fit(rgb, clip.given), clip.fit(rgb, SomeFrames(mean, clip.given.shape))
    out.summary |= {"fit": [without, with_it], "used": with_it > without}


@stage("clip-network", version=6, gpu=True)
def segment_clip(
    frames: Artifact,
    flow: Artifact,
    speed: Artifact | None,
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

    `speed` is the flow that shows the network what moves; None: it sees colours alone. `start` is a shared network;
    None means random weights. The network itself is not kept.

    If it shows something else than it learnt, an IoU below `settings.agreement`, the clip keeps what it had.

    Makes `masks` bool (T, K, 128, 224), disjoint, and `probabilities` f16 of the same shape. The summary has the IoU,
    whether the network was used, and its `training`.
    """
    clip = ClipToRefine.read(place, flow, proposal, masks)
    shown = seen_by_network(place, frames, speed)
    at = clip.by_hand_at
    planned = replace(course_of(settings, seed), steps=settings.steps_for(len(clip.given)))
    with training(place, out, planned) as (course, _):
        checkpoint = fit_clip_network(
            shown,
            clip.given,
            course,
            batch=settings.batch,
            start=get_checkpoint(place, start) if start else None,
            given=at,
            recipe={"labels": [masks.key], **masks_by_hand(len(at))},
        )
    net = build_network(checkpoint, place.device, expect="clip-network")
    # at the size that it learnt the masks at
    iou = foreground_iou(Segmented(net, shown, sizes=[1.0]), clip.given)
    used = iou >= settings.agreement
    own = Segmented(net, shown, settings.sizes) if used else None
    clip.write_mean(own, smoothing, out, place, f"segment {place.label} by its network")
    out.summary |= {"agreement": iou, "used": used, "training": checkpoint.settings["training"]}


@dataclass(frozen=True)
class ClipToRefine:
    """The masks of a clip that others are averaged with, and what that takes."""

    flow: ArtifactReader
    masks: ArtifactReader
    blank: NDArray[np.bool_]  # the frames that show nothing at all
    by_hand: NDArray[np.bool_] | None  # the frames with masks by hand

    @classmethod
    def read(cls, place: Place, flow: Artifact, proposal: Artifact, masks: Artifact) -> "ClipToRefine":
        """Open the artifacts of a clip."""
        store = place.open()
        kept = store.open(masks)
        return cls(store.open(flow), kept, kinds_of(store.open(proposal)) == BLANK, by_hand_of(kept))

    @property
    def given(self) -> StoredArray:
        """The probabilities, f16 (T, K, 128, 224)."""
        return self.masks.array("probabilities")

    @property
    def gap(self) -> int:
        """The flow's gap in frames."""
        return int(self.flow.summary["gap"])

    @property
    def by_hand_at(self) -> list[int]:
        """The indices of the frames with masks by hand."""
        return [] if self.by_hand is None else np.flatnonzero(self.by_hand).tolist()

    def write_mean(
        self,
        own: Readable | None,
        smoothing: SmoothingSettings,
        out: ArtifactWriter,
        place: Place,
        label: str,
        *,
        keep: Collection[int] = (),
    ) -> dict[int, NDArray[np.float16]]:
        """Write the mean of the given probabilities and those of a network, smoothed along the flow, and their masks.

        If `own` is None, write what was given. Frames with masks by hand keep them, and blank ones show nothing,
        whatever the network sees there. Returns the probabilities written for the frames in `keep`, by index.
        """
        kept = {}
        fixed = np.zeros(len(self.given), np.bool_) if self.by_hand is None else self.by_hand
        found = smooth(
            self.given if own is None else Replaced(Mean(own, self.given), self.given, self.by_hand_at),
            self.flow.array("flow"),
            iterations=smoothing.iterations if own is not None and smoothing.enabled else 0,
            weight=smoothing.weight,
            gap=self.gap,
            apart=self.blank,
            fixed=fixed,
        )
        if self.by_hand is not None:
            out.append(BY_HAND, self.by_hand, ("time",))
        with track(len(fixed), label) as advance:
            for index, frame in enumerate(found):
                if self.blank[index] and not fixed[index]:
                    frame *= 0
                made = self.masks.array("masks")[[index]] if own is None else hard_masks(frame[None])
                out.append("masks", made, MASK_DIMS)
                probabilities = rounded_probabilities(frame[None])
                out.append("probabilities", probabilities, MASK_DIMS)
                if index in keep:
                    kept[index] = probabilities[0]
                advance(1)
        out.summary |= {"frames": len(fixed)}
        return kept

    def fit(self, rgb: Readable, probabilities: Readable) -> float:
        """Return how well masks fit the clip, see `choose_threshold`; 0 if they show nothing."""
        flow = self.flow.array("flow")
        return choose_threshold(rgb, flow, probabilities, gap=self.gap, fixed=self.by_hand).fit or 0.0


def seen_by_network(place: Place, frames: Artifact, speed: Artifact | None) -> Readable:
    """Return what networks see of a clip: its frames and, if there is flow for it, their pixels' own speed."""
    store = place.open()
    rgb = store.open(frames).array("rgb")
    return WithSpeed(rgb, store.open(speed).array("flow")) if speed else rgb


@stage("shared-network", version=2, gpu=True)
def train_on_clips(
    frames: list[Artifact],
    speed: list[Artifact],
    masks: list[Artifact],
    start: Artifact | None,
    *,
    settings: SharedNetworkSettings,
    seed: int,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Train a network on the foreground of all clips, or `start` further.

    Each list has one item per clip; that of `speed` is empty if the network sees colours alone.
    """
    store = place.open()
    marks = (by_hand_of(store.open(made)) for made in masks)
    by_hand = sum(0 if mark is None else int(mark.sum()) for mark in marks)
    moves: Sequence[Artifact | None] = speed or [None] * len(frames)
    clips = [
        (seen_by_network(place, shown, moved), store.open(made).array("probabilities"))
        for shown, moved, made in zip(frames, moves, masks, strict=True)
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
