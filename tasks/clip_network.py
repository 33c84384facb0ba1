"""Clip network: train a network on the masks of one clip, and combine its masks with them."""

from motion_adapt.models.adaptation.clip_network import Mean, Segmented, fit_clip_network, foreground_iou
from motion_adapt.models.inference.smoothing import smooth
from motion_adapt.models.inputs.imaging import hard_masks, rounded_probabilities
from motion_adapt.models.inputs.still_frames import BLANK
from motion_adapt.models.training.course import Course
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.checkpoints import get_network
from motion_adapt.tasks.proposal import kinds_of
from motion_adapt.tasks.runtime.dims import MASK_DIMS
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import stage
from motion_adapt.tasks.settings import ClipNetworkSettings, SmoothingSettings
from motion_adapt.tasks.training import training


@stage("clip-network", version=1, gpu=True)
def train_on_clip(
    frames: Artifact,
    masks: Artifact,
    *,
    settings: ClipNetworkSettings,
    seed: int,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Train a network from scratch on the probabilities of one clip's masks; the key is the clip's own."""
    store = place.open()
    planned = Course(
        steps=settings.steps,
        seed=seed,
        rate=settings.learning_rate,
        precision=settings.precision,
        checkpoint_every=settings.checkpoint_every,
    )
    with training(place, out, planned) as (course, publish):
        publish(
            fit_clip_network(
                store.open(frames).array("rgb"),
                store.open(masks).array("probabilities"),
                course,
                batch=settings.batch,
                recipe={"labels": [masks.key]},
            )
        )


@stage("clip-masks", version=2, gpu=True)
def segment_clip(
    frames: Artifact,
    flow: Artifact,
    proposal: Artifact,
    masks: Artifact,
    weights: Artifact,
    *,
    agreement: float,
    smoothing: SmoothingSettings,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Average the probabilities of a clip with those of its network, and smooth them along the flow.

    If the network shows something else than it learnt, an IoU below `agreement`, the clip keeps what it had.

    Makes `masks` bool (T, K, 128, 224), disjoint, and `probabilities` f16 of the same shape. The summary has the IoU,
    and whether the network was used.
    """
    store, net = place.open(), get_network(place, weights, "clip-network")
    kept, motion = store.open(masks), store.open(flow)
    given = kept.array("probabilities")
    own = Segmented(net, store.open(frames).array("rgb"))
    blank = (
        kinds_of(store.open(proposal)) == BLANK
    )  # whatever the network sees there, such a frame shows nothing
    iou = foreground_iou(own, given)
    used = iou >= agreement
    found = smooth(
        Mean(own, given) if used else given,
        motion.array("flow"),
        iterations=smoothing.iterations if used and smoothing.enabled else 0,
        weight=smoothing.weight,
        gap=motion.summary["gap"],
        apart=blank,
    )
    with track(len(given), f"segment {place.label} by its network") as advance:
        for index, (frame, empty) in enumerate(zip(found, blank, strict=True)):
            frame *= not empty
            out.append("masks", hard_masks(frame[None]) if used else kept.array("masks")[[index]], MASK_DIMS)
            out.append("probabilities", rounded_probabilities(frame[None]), MASK_DIMS)
            advance(1)
    out.summary = {"frames": len(given), "agreement": iou, "used": used}
