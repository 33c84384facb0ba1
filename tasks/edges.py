"""Edges: bring the borders of a clip's masks to where colour or motion changes, and choose its threshold."""

from motion_adapt.models.inference.edges import follow_edges as follow_edges_of_clip
from motion_adapt.models.inference.threshold import THRESHOLDS, choose_threshold, with_threshold
from motion_adapt.models.inputs.imaging import hard_masks
from motion_adapt.models.inputs.rounding import rounded_probabilities
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.by_hand import BY_HAND, by_hand_of
from motion_adapt.tasks.runtime.dims import MASK_DIMS
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import stage
from motion_adapt.tasks.settings import EdgeSettings


@stage("edges", version=6)
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

    Then the threshold of the settings, or the one that suits the clip, becomes 0.5.

    Makes `masks` bool (T, K, 128, 224), disjoint, and `probabilities` f16 of the same shape, multiples of 1/32. The
    summary has the `threshold`, and how well its masks `fit` the clip (None if nothing was found).
    """
    store = place.open()
    rgb, motion, given = store.open(frames).array("rgb"), store.open(flow), store.open(masks)
    by_hand = by_hand_of(given)
    if by_hand is not None:
        out.append(BY_HAND, by_hand, ("time",))
    clip = rgb, motion.array("flow"), given.array("probabilities")
    how = {"gap": motion.summary["gap"], "fixed": by_hand, **settings.averaging()}
    thresholds = THRESHOLDS if settings.threshold is None else [settings.threshold]
    threshold, fit, known = choose_threshold(*clip, thresholds=thresholds, **how)
    with track(len(rgb), f"follow edges in {place.label}") as advance:
        for followed in follow_edges_of_clip(*clip, known=known, **how):
            frame = with_threshold(followed, threshold)
            out.append("masks", hard_masks(frame[None]), MASK_DIMS)
            out.append("probabilities", rounded_probabilities(frame[None]), MASK_DIMS)
            advance(1)
    out.summary = {"frames": len(rgb), "threshold": threshold, "fit": fit}
