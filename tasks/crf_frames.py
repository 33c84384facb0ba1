"""CRF refinement of a span of frames (models/inference/crf.py), importable without Prefect or torch.

Worker processes import this file instead of the stage, because Prefect and torch take seconds to load.
"""

import numpy as np

from motion_adapt.models.inference.crf import refine_masks
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.keys import Artifact

BYTES_PER_PIXEL = 600  # peak memory of the CRF for one frame; 540 were measured


def refine_frames(
    store: str, frames: Artifact, correction: Artifact, iterations: int, start: int, stop: int
) -> np.ndarray:
    """Refine frames `start` to `stop`. Returns labels u8 (stop - start, H', W'): 0 background, k + 1 object k."""
    kept = ArtifactStore(store)
    native = kept.open(frames).array("native")[start:stop]
    probabilities = kept.open(correction).array("probabilities")[start:stop]
    return np.stack(
        [
            refine_masks(frame, chances, iterations=iterations)
            for frame, chances in zip(native, probabilities, strict=True)
        ]
    )
