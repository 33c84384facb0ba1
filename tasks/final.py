"""Final masks: label maps at the frames' own size (architecture 8)."""

from functools import partial

from models.imaging import native_labels
from storage.keys import Artifact
from storage.writer import ArtifactWriter
from tasks.progress import track
from tasks.refinement import BYTES_PER_PIXEL, refine_frames
from tasks.settings import CrfSettings
from tasks.spread import in_spans
from tasks.stage import Place, stage


@stage("final", version=1)
def finish(
    frames: Artifact, correction: Artifact, *, settings: CrfSettings, place: Place, out: ArtifactWriter
) -> None:
    """Bring corrected masks to native size, each channel bilinearly and above 0.5, or by a dense CRF.

    Makes `labels` u8 (T, H', W'): 0 background, k + 1 for object k. The summary says whether a CRF had a part.
    """
    store = place.open()
    masks, clip = store.open(correction).array("masks"), store.open(frames).summary
    height, width = clip["height"], clip["width"]
    if settings.enabled:
        refine = partial(refine_frames, place.store, frames, correction, settings.iterations)
        memory = BYTES_PER_PIXEL * height * width
        blocks = in_spans(refine, len(masks), threads=place.threads, memory=memory)
    else:
        blocks = (native_labels(masks[[index]], height, width) for index in range(len(masks)))
    masked = 0
    with track(len(masks), f"final masks of {place.label}") as advance:
        for labels in blocks:
            out.append("labels", labels, ("time", "row", "column"))
            masked += int(labels.any(axis=(1, 2)).sum())
            advance(len(labels))
    out.summary = {"frames": len(masks), "masked_frames": masked, "crf": settings.enabled}
