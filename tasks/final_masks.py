"""Final masks: label maps at the frames' own size (architecture 8)."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from motion_adapt.models.inference.edges import follow_fine_edges
from motion_adapt.models.inputs.imaging import native_labels
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.clips.find_clips import Clip
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.by_hand import with_given
from motion_adapt.tasks.crf_frames import BYTES_PER_PIXEL, refine_frames
from motion_adapt.tasks.native_frames import native_frames
from motion_adapt.tasks.runtime.dims import LABEL_DIMS
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.spread import in_spans
from motion_adapt.tasks.runtime.stage import IfGiven, NotKeyed, stage
from motion_adapt.tasks.settings import CrfSettings, EdgeSettings


@stage("final", version=3)
def finish(
    frames: Artifact,
    correction: Artifact,
    *,
    settings: CrfSettings,
    clip: NotKeyed[Clip],
    edges: IfGiven[EdgeSettings] = None,
    flow: IfGiven[Artifact] = None,
    given: IfGiven[Artifact] = None,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Bring corrected masks to native size: resize their probabilities, or apply a dense CRF to them.

    The reference code resizes the masks. Probabilities give smoother borders. With `edges` and the `flow`, these follow
    the edges of the native frames first; the CRF does so by itself. Masks by hand, `given`, are taken as they are.

    Writes `labels` u8 (T, H', W'): 0 background, k + 1 for object k. The summary records whether the CRF was used.

    Raises:
        SourceLost: if CRF or edges need the native frames, and the clip's source is gone or has changed.
    """
    store = place.open()
    objects, size = store.open(correction).array("probabilities"), store.open(frames).summary
    height, width = size["height"], size["width"]
    finer = height > objects.shape[2] and width > objects.shape[3]  # else native frames show no finer edges
    if settings.enabled:
        refine = partial(refine_frames, place.store, frames, clip, correction, settings.iterations)
        memory = BYTES_PER_PIXEL * height * width
        blocks = in_spans(refine, len(objects), threads=place.threads, memory=memory)
    else:
        probabilities: Iterator[np.ndarray] = (objects[index] for index in range(len(objects)))
        if edges and flow and finer:
            motion = store.open(flow)
            probabilities = follow_fine_edges(
                native_frames(store, frames, clip),
                motion.array("flow"),
                objects,
                gap=motion.summary["gap"],
                **edges.averaging(),
            )
        blocks = (native_labels(frame[None], height, width) for frame in probabilities)
    if given:
        blocks = with_given(blocks, store.open(given), "labels")
    masked = 0
    with track(len(objects), f"final masks of {place.label}") as advance:
        for labels in blocks:
            out.append("labels", labels, LABEL_DIMS)
            masked += int(labels.any(axis=(1, 2)).sum())
            advance(len(labels))
    out.summary = {"frames": len(objects), "masked_frames": masked, "crf": settings.enabled}
