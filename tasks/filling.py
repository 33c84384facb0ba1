"""Masks of the frames that a thinned-out clip leaves out, carried from those that it takes."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from motion_adapt.models.inference.filling import fill_between
from motion_adapt.models.inputs.flow import flow_estimator
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.clips.find_clips import Clip, ClipError
from motion_adapt.storage.clips.videos import content_digest, frame_rate, open_frames
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.names import printable
from motion_adapt.storage.results.overlays import write_overlay_video
from motion_adapt.tasks.pictures import DEFAULT_RATE, OVERLAY, rows
from motion_adapt.tasks.runtime.dims import LABEL_DIMS
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import NotKeyed, stage

ESTIMATOR = "dis"  # cheap everywhere, and good enough for a few frames


@stage("fill", version=1)
def fill(
    frames: Artifact,
    final: Artifact,
    *,
    content: str,
    step: int,
    whole: NotKeyed[Clip],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Carry a clip's final masks along OpenCV's DIS flow to the frames between them.

    `whole` are all frames from the first to the last one with a mask; every `step`-th has one, and keeps it. `content`
    is the digest of their files' bytes.

    Writes `labels` u8 (T', H', W') of all these frames, and `overlay.mp4`, which shows them.

    Raises:
        ClipError: if a file cannot be used, or no longer has the digest `content`; names the clip and the file.
    """
    store = place.open()
    taken, given = store.open(frames).summary["frames"], store.open(final)
    # One decoding for both; the second is at most `step` frames behind.
    native, shown = itertools.tee(open_frames(whole))
    masked = done = 0

    def labels_once(advance: Callable[[int], None]) -> Iterator[np.ndarray]:
        """Yield every label map for the video, and write it in passing."""
        nonlocal masked, done
        found = fill_between(native, rows(given, "labels"), step=step, estimator=flow_estimator(ESTIMATOR))
        for labels in found:
            out.append("labels", labels[None], LABEL_DIMS)
            masked, done = masked + int(labels.any()), done + 1
            advance(1)
            yield labels

    with (
        track((taken - 1) * step + 1, f"masks in between of {place.label}") as advance,
        tempfile.TemporaryDirectory() as folder,
    ):
        overlay = Path(folder) / OVERLAY
        write_overlay_video(overlay, shown, labels_once(advance), rate=frame_rate(whole) or DEFAULT_RATE)
        out.put(OVERLAY, overlay.read_bytes())
    if content_digest(whole) != content:
        raise ClipError(whole.name, f"{printable(whole.path.name)} changed while it was read; run again")
    out.summary = {"frames": done, "masked_frames": masked, "carried": done - taken}
