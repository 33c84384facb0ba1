"""Pictures: an overlay video and a stage strip per clip."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from motion_adapt.models.inputs.imaging import labels_from_masks
from motion_adapt.models.inputs.readable import Readable, pieces, spread
from motion_adapt.storage.artifacts.reader import ArtifactReader
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.clips.find_clips import Clip
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.results.overlays import write_overlay_video
from motion_adapt.storage.results.strips import StageColumn, stage_strip, write_png
from motion_adapt.tasks.native_frames import native_frames
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import NotKeyed, stage

OVERLAY, STRIP = "overlay.mp4", "strip.png"
DEFAULT_RATE = 24.0  # frames per second of a folder of frames
STRIP_COLUMNS = 5  # frames of a strip, at most


@stage("pictures", version=6)
def draw(
    frames: Artifact,
    flow: Artifact,
    proposal: Artifact,
    selection: Artifact,
    correction: Artifact,
    smoothed: Artifact | None,
    by_network: Artifact | None,
    final: Artifact,
    *,
    clip: NotKeyed[Clip],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Write `overlay.mp4`, the frames with their final masks, and `strip.png`, all stages of a few frames.

    Raises:
        SourceLost: if the clip's source is gone or has changed.
    """
    store = place.open()
    shown, done = store.open(frames).summary, store.open(final)
    unrefined = done.manifest.inputs.get("masks")  # SAM has made `final` of them
    before = store.open(unrefined) if unrefined else None
    made = [store.open(item) for item in (flow, proposal, selection, correction)]
    refined = [store.open(item) if item else None for item in (smoothed, by_network)]
    put_pictures(
        native_frames(store, frames, clip),
        done,
        shown["rate"],
        lambda index, frame: column(index, frame, made, refined, before, done),
        out,
    )


def put_pictures(
    native: Readable,
    done: ArtifactReader,
    rate: float | None,
    column_of: Callable[[int, np.ndarray], StageColumn],
    out: ArtifactWriter,
) -> None:
    """Write `overlay.mp4` and `strip.png`.

    Args:
        native: the frames u8 (T, H', W', 3). Each is read once, in order.
        done: has the final `labels`.
        rate: frames per second; None for a folder of frames.
        column_of: makes the strip's column of a frame, from its index and the frame u8 (H', W', 3).
        out: takes the files.
    """
    in_strip = set(spread(native.shape[0], STRIP_COLUMNS))
    columns: list[StageColumn] = []

    def frames_once() -> Iterator[np.ndarray]:
        """Yield every frame for the video, and make the strip's columns in passing."""
        for index, (frame,) in enumerate(pieces(native, chunk=1)):
            if index in in_strip:
                columns.append(column_of(index, frame[0]))
            yield frame[0]

    with tempfile.TemporaryDirectory() as folder:
        overlay, strip = Path(folder) / OVERLAY, Path(folder) / STRIP
        write_overlay_video(overlay, frames_once(), rows(done, "labels"), rate=rate or DEFAULT_RATE)
        write_png(strip, stage_strip(columns))
        out.put(OVERLAY, overlay.read_bytes())
        out.put(STRIP, strip.read_bytes())


def column(
    index: int,
    frame: np.ndarray,
    made: list[ArtifactReader],
    refined: list[ArtifactReader | None],
    before: ArtifactReader | None,
    done: ArtifactReader,
) -> StageColumn:
    """Collect all stages' results for one frame."""
    flow, proposal, selection, correction = made
    smoothed, by_network = (labels_of(reader, index) if reader else None for reader in refined)
    shown = proposal.array("masks")[index].any(axis=(1, 2))  # channels without an object have exemplars too
    exemplar_of = np.flatnonzero(selection.array("exemplars")[index] & shown) + 1
    return StageColumn(
        frame_name=f"frame {index + 1}",
        frame=frame,
        flow=flow.array("flow")[index][:2].transpose(1, 2, 0).astype(np.float32),
        proposal=labels_of(proposal, index),
        errors=selection.array("error_labels")[index]
        if "error_labels" in selection.manifest.arrays
        else None,
        exemplar_of=tuple(exemplar_of.tolist()),
        corrected=labels_of(correction, index),
        regions=correction.array("segments")[index] if "segments" in correction.manifest.arrays else None,
        objects=correction.manifest.arrays["masks"].shape[1],
        smoothed=smoothed,
        by_network=by_network,
        before_sam=before.array("labels")[index] if before else None,
        final=done.array("labels")[index],
    )


def labels_of(reader: ArtifactReader, index: int) -> np.ndarray:
    """Return the label map u8 (h, w) of an artifact's masks in one frame."""
    return labels_from_masks(reader.array("masks")[[index]])[0]


def rows(reader: ArtifactReader, name: str) -> Iterator[np.ndarray]:
    """Yield the rows of an array, one at a time."""
    for _, block in reader.array(name).blocks():
        yield from block
