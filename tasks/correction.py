"""Correction: repair masks from the exemplars, window by window (paper eq. 5-8)."""

from motion_adapt.models.inference.pipeline import correct as correct_masks
from motion_adapt.models.inference.planning import PART_LENGTH
from motion_adapt.models.inputs.rounding import rounded_probabilities
from motion_adapt.models.inputs.still_frames import BLANK
from motion_adapt.models.networks.precision import autocast_dtype
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.by_hand import BY_HAND, by_hand_of
from motion_adapt.tasks.checkpoints import get_network
from motion_adapt.tasks.proposal import kinds_of
from motion_adapt.tasks.runtime.dims import LABEL_DIMS, MASK_DIMS
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import stage
from motion_adapt.tasks.settings import CorrectionSettings, Precision


@stage("correction", version=5, gpu=True)
def correct(
    frames: Artifact,
    tokens: Artifact,
    proposal: Artifact,
    selection: Artifact,
    weights: Artifact,
    *,
    settings: CorrectionSettings,
    precision: Precision = "float32",
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Correct a clip's masks.

    Writes `masks` bool (T, K, 128, 224), disjoint; `probabilities` f16 of the same shape, multiples of 1/32; and
    `segments` u8 (T, 128, 224), the query whose alpha is largest.
    """
    store = place.open()
    chosen, proposed = store.open(selection), store.open(proposal)
    shows, given, done = kinds_of(proposed) != BLANK, by_hand_of(proposed), 0
    if given is not None:
        shows |= given
        out.append(BY_HAND, given, ("time",))
    net = get_network(place, weights, "corrector")
    total, limit = chosen.summary["frames"], chosen.summary["limit"]
    with track(total, f"correct {place.label}") as advance:
        for block in correct_masks(
            net,
            store.open(frames).array("rgb"),
            store.open(tokens).array("tokens"),
            proposed.array("masks"),
            chosen.array("scores"),
            chosen.array("exemplars"),
            window=settings.window,
            even=settings.even,
            borrow=settings.borrow,
            limit=limit,
            target=min(limit, PART_LENGTH),
            given=given,
            precision=autocast_dtype(precision),
        ):
            here = shows[done : done + len(block.masks)][:, None, None, None]
            out.append("masks", block.masks & here, MASK_DIMS)
            out.append("probabilities", rounded_probabilities(block.probabilities * here), MASK_DIMS)
            out.append("segments", block.segments, LABEL_DIMS)
            advance(len(block.masks))
            done += len(block.masks)
    out.summary = {"frames": total}
