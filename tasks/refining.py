"""Take ready-made masks at the frames' own size, refine them by the CRF, and draw them: the steps of `refine`."""

from functools import partial

import numpy as np

from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.clips.find_clips import Clip
from motion_adapt.storage.formats.label_rules import Background
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.results.strips import StageColumn
from motion_adapt.tasks.crf_frames import BYTES_PER_PIXEL, refine_labels
from motion_adapt.tasks.native_frames import native_frames
from motion_adapt.tasks.pictures import put_pictures
from motion_adapt.tasks.ready_made import ReadyMade
from motion_adapt.tasks.runtime.dims import LABEL_DIMS
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.spread import in_spans
from motion_adapt.tasks.runtime.stage import NotKeyed, stage
from motion_adapt.tasks.settings import CrfSettings


@stage("given-masks", version=2)
def take_masks(
    frames: Artifact,
    *,
    content: str,
    background: Background,
    folder: NotKeyed[str],
    names: NotKeyed[tuple[str, ...]],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Read the masks `<folder>/<clip>/<frame>.png`; `content` is the digest of their bytes.

    Writes `labels` u8 (T, H', W'): 0 background, 255 void, every other value an object.

    Raises:
        ValueError: if a mask is missing, damaged, no mask, or of another size than its frame.
        ClipError: if the masks no longer have the digest `content`.
    """
    clip, masked = place.open().open(frames).summary, 0
    size = clip["height"], clip["width"]
    given = ReadyMade(folder, place.label, names, background=background, content=content, size=size)
    for labels in given.read("take masks"):
        out.append("labels", labels[None], LABEL_DIMS)
        masked += bool(labels.any())
    out.summary = {"frames": clip["frames"], "masked_frames": masked}
    out.made["warnings"] = [f"masks of {place.label}: {note}" for note in given.notes()]


@stage("crf", version=1)
def refine_by_crf(
    frames: Artifact,
    masks: Artifact,
    *,
    settings: CrfSettings,
    clip: NotKeyed[Clip],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Refine label maps by the dense CRF. Writes `labels` u8 (T, H', W').

    Raises:
        SourceLost: if the clip's source is gone or has changed.
    """
    total, height, width = place.open().open(masks).array("labels").shape
    refine = partial(refine_labels, place.store, frames, clip, masks, settings.iterations)
    masked = 0
    with track(total, f"CRF on {place.label}") as advance:
        for labels in in_spans(refine, total, threads=place.threads, memory=BYTES_PER_PIXEL * height * width):
            out.append("labels", labels, LABEL_DIMS)
            masked += int(labels.any(axis=(1, 2)).sum())
            advance(len(labels))
    out.summary = {"frames": total, "masked_frames": masked}


@stage("refined-pictures", version=2)
def draw_refined(
    frames: Artifact,
    given: Artifact,
    final: Artifact,
    *,
    clip: NotKeyed[Clip],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Write `overlay.mp4`, the frames with their refined masks, and `strip.png`, a few frames before and after.

    Raises:
        SourceLost: if the clip's source is gone or has changed.
    """
    store = place.open()
    shown, before, after = store.open(frames).summary, store.open(given), store.open(final)

    def column(index: int, frame: np.ndarray) -> StageColumn:
        given_labels, labels = (reader.array("labels")[index] for reader in (before, after))
        return StageColumn(frame_name=f"frame {index + 1}", frame=frame, given=given_labels, final=labels)

    put_pictures(native_frames(store, frames, clip), after, shown["rate"], column, out)
