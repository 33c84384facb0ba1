"""Train one network on the masks of many clips: it learns what moving objects look like, and clip networks start there.

A clip network that starts from random weights learns its clip's objects from some hundred frames at most. Whatever
separates an object from its surroundings in other clips (outlines, texture, what a body or a car looks like) is known
to it if it starts from a network that has seen those clips. The masks are the method's own: no label is used.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motion_adapt.models.adaptation.clip_network import batch_of, fit, has_speed
from motion_adapt.models.inputs.readable import Readable, spread
from motion_adapt.models.networks.checkpoints import Checkpoint
from motion_adapt.models.networks.lineage import TrainedOn
from motion_adapt.models.training.batches import Batch
from motion_adapt.models.training.course import Course

MOST_FRAMES = 6000  # of all clips together, which are kept in memory: 1 GB


class FramesOfClips:
    """Batches of a shared network: frames of as many clips as possible, augmented at random, and their foreground.

    Up to `MOST_FRAMES` frames, spread over the clips, are read and kept in memory.

    Args:
        clips: of each clip its frames, u8 (T, H, W, 3 or 4), see `models.adaptation.clip_network.ClipFrames`, and the
            probabilities of its objects, float (T, K, H, W) in [0, 1].
        batch: frames of a step.
    """

    def __init__(self, clips: Sequence[tuple[Readable, Readable]], batch: int) -> None:
        share = max(1, MOST_FRAMES // len(clips))
        self.clips, self.batch = [], batch
        for frames, probabilities in clips:
            used = spread(frames.shape[0], share)
            foreground = np.asarray(probabilities[used], np.float16).max(axis=1, keepdims=True)
            self.clips.append((np.asarray(frames[used]), foreground))

    def __call__(self, step: int, rng: np.random.Generator) -> Batch:
        """Return `seen` f32 (N, 3 or 4, H, W), and `target` f32 (N, 2, H, W): foreground and background."""
        return batch_of(self._drawn(rng), rng)

    def _drawn(self, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float16]]]:
        """Yield frames with their foreground; each is drawn when it is asked for."""
        for which in rng.choice(len(self.clips), self.batch, replace=self.batch > len(self.clips)):
            frames, targets = self.clips[which]
            index = rng.integers(len(frames))
            yield frames[index], targets[index]


def fit_shared_network(
    clips: Sequence[tuple[Readable, Readable]],
    course: Course,
    *,
    batch: int = 4,
    start: Checkpoint | None = None,
    recipe: dict[str, Any] | None = None,
) -> Checkpoint:
    """Train a network of one object, the foreground, on the masks of many clips.

    Args:
        clips: see `FramesOfClips`.
        course: as for `fit_clip_network`.
        batch: frames per step.
        start: a shared network to continue from. None means random weights.
        recipe: further entries of the checkpoint's recipe.

    Raises:
        ValueError: there is no clip.
    """
    if not clips:
        raise ValueError("clips: wanted at least one")
    about = {"on": TrainedOn.MASKS_OF_CLIPS.value, "batch": batch, **(recipe or {})}
    motion = has_speed(clips[0][0])
    return fit(FramesOfClips(clips, batch), 1, course, start, about, motion=motion)
