"""Refinement of a few frames by the dense CRF (models/inference/crf.py), as every process that takes a part in it
imports it.

Apart from the stage, since a stage brings Prefect and torch along, which take seconds to import.
"""

import numpy as np

from motion_adapt.models.inference.crf import refine_masks
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.keys import Artifact

BYTES_PER_PIXEL = 600  # that the CRF of a frame takes for its time: 540 were measured


def refine_frames(
    store: str, frames: Artifact, correction: Artifact, iterations: int, start: int, stop: int
) -> np.ndarray:
    """Labels u8 (stop - start, H', W') of the frames from `start` to `stop`: 0 background, k + 1 object k."""
    kept = ArtifactStore(store)
    native = kept.open(frames).array("native")[start:stop]
    probabilities = kept.open(correction).array("probabilities")[start:stop]
    return np.stack(
        [
            refine_masks(frame, chances, iterations=iterations)
            for frame, chances in zip(native, probabilities, strict=True)
        ]
    )
