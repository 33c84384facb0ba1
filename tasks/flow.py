"""Optical flow: of each frame to the frames at +gap and -gap (paper A.3)."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from motion_adapt.models.inputs.flow import effective_gap, stream_flow
from motion_adapt.models.inputs.flow_estimators import FlowEstimator, flow_estimator
from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH, resize_flow
from motion_adapt.models.inputs.rounding import rounded_flow
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.clips.find_clips import Clip, ClipError
from motion_adapt.storage.formats.flo import flow_content, read_flow_pairs
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.names import printable
from motion_adapt.tasks.native_frames import native_frames
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import NotKeyed, stage
from motion_adapt.tasks.settings import FlowSettings

DIMS = ("time", "component", "row", "column")


def uses_network(arguments: Mapping[str, Any]) -> bool:
    """Return whether flow is estimated by a network, which may run on a GPU."""
    return bool(arguments["settings"].estimator.startswith("raft"))


@stage("flow", version=3, gpu=uses_network)
def estimate_flow(
    frames: Artifact,
    *,
    gap: int,
    settings: FlowSettings,
    flo: str | None,
    clip: NotKeyed[Clip],
    folder: NotKeyed[str | None],
    names: NotKeyed[tuple[str, ...]],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Estimate flow, or read it from `.flo` files (`flo` is the digest of their bytes, `folder` holds them).

    Writes `flow` f16 (T, 4, 128, 224): u+, v+, u-, v- in pixels at the working resolution, multiples of 1/16. If a
    frame has no partner on one side, the flow of the other side is used, negated. A clip too short for the gap uses a
    smaller one, which the summary records.

    Raises:
        ClipError: if the `.flo` files no longer have the digest `flo`, or the clip's source is gone or has changed.
    """
    store = place.open()
    total = store.open(frames).summary["frames"]
    used = effective_gap(total, gap)
    blocks: Iterator[tuple[int, np.ndarray]]
    if settings.estimator == "flo":
        blocks = from_files(Path(str(folder)), place.label, names, used)
    else:
        estimator = load_estimator(settings, place.device, threading.get_ident())
        blocks = stream_flow(
            native_frames(store, frames, clip),
            gap=used,
            estimator=estimator,
            resolution=settings.resolution,
        )
    with track(total, f"flow ±{used} of {place.label}") as advance:
        for _, block in blocks:
            out.append("flow", rounded_flow(block), DIMS)
            advance(len(block))
    if flo and flow_content(Path(str(folder)), used, place.label, names) != flo:
        raise ClipError(
            place.label, f"its flow in {printable(str(folder))} changed while it was read; run again"
        )
    out.summary = {"frames": total, "gap": used, "asked_gap": gap}


@lru_cache(maxsize=4)
def load_estimator(settings: FlowSettings, device: str, thread: int) -> FlowEstimator:
    """Return a flow estimator; the last few are cached, each for one thread, because two threads cannot share RAFT."""
    return flow_estimator(
        settings.estimator,
        weights=settings.weights,
        updates=settings.updates,
        keep_padding=settings.keep_padding,
        device=device,
    )


def from_files(folder: Path, clip: str, names: Sequence[str], gap: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield ready-made flow, frame by frame, at the working resolution: (index, f32 (1, 4, 128, 224))."""
    for index, pair in enumerate(read_flow_pairs(folder, gap, clip, names)):
        both = resize_flow(np.stack(pair), HEIGHT, WIDTH)  # (2, H, W, 2)
        yield index, both.transpose(0, 3, 1, 2).reshape(1, 4, HEIGHT, WIDTH)  # (1, 4, H, W)
