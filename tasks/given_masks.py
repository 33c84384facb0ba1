"""Masks of any other model or of a person: taken at the frames' own size, refined by the CRF, and shown."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from motion_adapt.models.inputs.readable import pieces
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.clips.find_clips import Clip
from motion_adapt.storage.formats.label_rules import Background
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.results.overlays import write_overlay_video
from motion_adapt.storage.results.strips import StageColumn, spread, stage_strip, write_png
from motion_adapt.tasks.crf_frames import BYTES_PER_PIXEL, refine_labels
from motion_adapt.tasks.native_frames import native_frames
from motion_adapt.tasks.pictures import DEFAULT_RATE, OVERLAY, STRIP, rows
from motion_adapt.tasks.ready_made import ReadyMade
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.spread import in_spans
from motion_adapt.tasks.runtime.stage import NotKeyed, stage
from motion_adapt.tasks.settings import CrfSettings

DIMS = ("time", "row", "column")


@stage("given-masks", version=1)
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
        out.append("labels", labels[None], DIMS)
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
            out.append("labels", labels, DIMS)
            masked += int(labels.any(axis=(1, 2)).sum())
            advance(len(labels))
    out.summary = {"frames": total, "masked_frames": masked}


@stage("refined-pictures", version=1)
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
    in_strip = set(spread(shown["frames"]))
    columns: list[StageColumn] = []

    def frames_once() -> Iterator[np.ndarray]:
        for index, (frame,) in enumerate(pieces(native_frames(store, frames, clip), chunk=1)):
            if index in in_strip:
                columns.append(
                    StageColumn(
                        frame_name=f"frame {index + 1}",
                        frame=frame[0],
                        given=before.array("labels")[index],
                        final=after.array("labels")[index],
                    )
                )
            yield frame[0]

    with tempfile.TemporaryDirectory() as folder:
        overlay, strip = Path(folder) / OVERLAY, Path(folder) / STRIP
        write_overlay_video(overlay, frames_once(), rows(after, "labels"), rate=shown["rate"] or DEFAULT_RATE)
        write_png(strip, stage_strip(columns))
        out.put(OVERLAY, overlay.read_bytes())
        out.put(STRIP, strip.read_bytes())
