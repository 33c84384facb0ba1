"""CRF refinement of a span of frames (models/inference/crf.py), importable without Prefect or torch.

Worker processes import this file instead of the stage, because Prefect and torch take seconds to load.
"""

from functools import lru_cache

import numpy as np

from motion_adapt.models.inference.crf import refine_masks
from motion_adapt.storage.artifacts.arrays import StoredArray
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.clips.find_clips import Clip
from motion_adapt.storage.clips.source_frames import SourceFrames
from motion_adapt.storage.formats.label_rules import VOID
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.native_frames import native_frames

BYTES_PER_PIXEL = 600  # peak memory of the CRF for one frame; 540 were measured


def refine_frames(
    store: str,
    frames: Artifact,
    clip: Clip,
    correction: Artifact,
    iterations: int,
    start: int,
    stop: int,
) -> np.ndarray:
    """Refine frames `start` to `stop`. Returns labels u8 (stop - start, H', W'): 0 background, k + 1 object k."""
    native = _opened(store, frames, clip)[start:stop]
    probabilities = ArtifactStore(store).open(correction).array("probabilities")[start:stop]
    return np.stack(
        [
            refine_masks(frame, chances, iterations=iterations)
            for frame, chances in zip(native, probabilities, strict=True)
        ]
    )


def refine_labels(
    store: str, frames: Artifact, clip: Clip, masks: Artifact, iterations: int, start: int, stop: int
) -> np.ndarray:
    """Refine label maps of frames `start` to `stop`. Returns labels u8 (stop - start, H', W'), without void pixels."""
    native = _opened(store, frames, clip)[start:stop]
    given = ArtifactStore(store).open(masks).array("labels")[start:stop]
    refined = np.zeros_like(given)
    for index, (frame, labels) in enumerate(zip(native, given, strict=True)):
        objects = [label for label in np.unique(labels) if label not in (0, VOID)]
        if objects:
            channels = np.stack([labels == label for label in objects])
            refined[index] = np.array([0, *objects], np.uint8)[
                refine_masks(frame, channels, iterations=iterations)
            ]
    return refined


@lru_cache(maxsize=4)
def _opened(store: str, frames: Artifact, clip: Clip) -> StoredArray | SourceFrames:
    """Return the frames of a clip; the last few are kept open, because a process gets spans in rising order."""
    return native_frames(ArtifactStore(store), frames, clip)
