"""Final masks: label maps at the frames' own size (architecture 8)."""

from models.crf import refine_masks
from models.imaging import native_labels
from storage.keys import Artifact
from storage.writer import ArtifactWriter
from tasks.progress import track
from tasks.settings import CrfSettings
from tasks.stage import Place, stage


@stage("final", version=1)
def finish(
    frames: Artifact, correction: Artifact, *, settings: CrfSettings, place: Place, out: ArtifactWriter
) -> None:
    """Bring corrected masks to native size, each channel bilinearly and above 0.5, or by a dense CRF.

    Makes `labels` u8 (T, H', W'): 0 background, k + 1 for object k. The summary says whether a CRF had a part.
    """
    store = place.open()
    clip, corrected = store.open(frames), store.open(correction)
    size = clip.summary["height"], clip.summary["width"]
    native, masks, probabilities = (
        clip.array("native"),
        corrected.array("masks"),
        corrected.array("probabilities"),
    )
    masked = 0
    with track(len(masks), f"final masks of {place.label}") as advance:
        for index in range(len(masks)):
            if settings.enabled:
                labels = refine_masks(native[index], probabilities[index], iterations=settings.iterations)
            else:
                labels = native_labels(masks[[index]], *size)[0]
            out.append("labels", labels[None], ("time", "row", "column"))
            masked += bool(labels.any())
            advance(1)
    out.summary = {"frames": len(masks), "masked_frames": masked, "crf": settings.enabled}
