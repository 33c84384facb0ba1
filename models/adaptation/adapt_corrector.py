"""Adapt the corrector to unlabelled clips: it learns from masks that the method itself produced (3.4, A.3).

The corrected masks of an object are used only in its exemplar frames. The corrector does not see the proposals, so
that frame and exemplars must suffice. Clips are read piece by piece.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from motion_adapt.models.inference.planning import (
    PART_LENGTH,
    PART_LIMIT,
    correctable,
    exemplar_table,
    exemplars_for_part,
    parts,
)
from motion_adapt.models.inputs.readable import Readable, pieces
from motion_adapt.models.networks.checkpoints import Checkpoint, Corrector, build_network
from motion_adapt.models.networks.lineage import TrainedOn
from motion_adapt.models.training.batches import Batch
from motion_adapt.models.training.continue_training import go_on
from motion_adapt.models.training.course import Course
from motion_adapt.models.training.episodes import correct_episode, weights_for
from motion_adapt.models.training.loop import autocast, mean_of
from motion_adapt.models.training.losses import CORRECTOR_PSEUDO_WEIGHTS, corrector_losses

GIVEN_SHARE = 0.5  # of the episodes of a clip with masks by hand have one in their window


@dataclass(frozen=True)
class CorrectorClip:
    """A clip to adapt to. All arrays can be read piece by piece.

    Attributes:
        rgb: frames, u8 (T, H, W, 3).
        tokens: (T, h, w, C).
        masks: proposals, bool (T, K, H, W).
        scores: scores of the selection, (T, K).
        exemplars: bool (T, K).
        corrected: pseudo-labels, bool (T, K, H, W).
        given: bool (T,), the frames with masks by hand, or None. They are right for every object, and exemplars for the
            whole clip.
    """

    rgb: Readable
    tokens: Readable
    masks: Readable
    scores: Readable
    exemplars: Readable
    corrected: Readable
    given: NDArray[np.bool_] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        arrays = {name: array for name, array in vars(self).items() if array is not None}
        lengths = {name: array.shape[0] for name, array in arrays.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"clip: wanted arrays of one length, got {lengths}")
        if not np.asarray(self.exemplars[:]).any():
            raise ValueError("clip: no frame is an exemplar, so there is nothing to adapt to; leave it out")

    def supervised(self) -> NDArray[np.bool_]:
        """Return the frames and objects, bool (T, K), whose `corrected` masks are used: exemplars and masks by hand."""
        return np.asarray(self.exemplars[:], bool) | self.by_hand[:, None]

    @cached_property
    def by_hand(self) -> NDArray[np.bool_]:
        """`given`, or False for every frame, bool (T,)."""
        return np.zeros(self.exemplars.shape[0], np.bool_) if self.given is None else self.given

    @cached_property
    def shown(self) -> NDArray[np.bool_]:
        """Exemplars with a mask, bool (T, K). A channel without an object has exemplars too, but they are empty."""
        present = np.concatenate([some.any(axis=(2, 3)) for (some,) in pieces(self.masks)])
        return np.asarray(self.exemplars[:], bool) & present

    @cached_property
    def centres(self) -> NDArray[np.int64]:
        """Supervised frames that show a supervised object; all supervised frames if there are none."""
        supervised = self.supervised()
        good = supervised & self.shown
        return np.flatnonzero((good if good.any() else supervised).any(1))


@dataclass(frozen=True)
class CorrectorClipBatches:
    """Episodes of random clips: a window that contains a random supervised frame, and all exemplars of its part.

    Attributes:
        clips: clips to draw from.
        window: target frames of an episode.
        limit: see `models.inference.planning.parts`.
        target: see `models.inference.planning.parts`.
        batch: episodes in a step.
    """

    clips: Sequence[CorrectorClip]
    window: int
    limit: int
    target: int
    batch: int = 1

    def __call__(self, step: int, rng: np.random.Generator) -> Batch:
        """Return the episodes of one step."""
        return {"episodes": [self.episode(rng) for _ in range(self.batch)]}

    def episode(self, rng: np.random.Generator) -> Batch:
        """Return one episode, see `correct_episode`, with "truth" and the "supervised" frames and objects."""
        clip = self.clips[int(rng.integers(len(self.clips)))]
        marks = np.asarray(clip.exemplars[:], bool)  # (T, K)
        supervised = clip.supervised()
        reached = correctable(marks, clip.by_hand, self.limit, self.target)
        centre = int(rng.choice(clip.centres[reached[clip.centres]]))
        given = np.flatnonzero(clip.by_hand & supervised.any(axis=1) & reached)
        if len(given) and rng.random() < GIVEN_SHARE:
            centre = int(rng.choice(given))
        first, last = next(p for p in parts(len(marks), self.limit, self.target) if centre < p[1])
        length = min(self.window, last - first)
        start = int(rng.integers(max(first, centre - length + 1), min(centre, last - length) + 1))
        span = slice(start, start + length)
        table = exemplar_table(exemplars_for_part(marks, first, last, clip.by_hand))  # (K, E)
        read = np.unique(table[table >= 0])
        rows = np.searchsorted(read, np.maximum(table, read[0])).T  # (E, K)
        objects = np.arange(len(table))
        return {
            "rgb": np.asarray(clip.rgb[span]),
            "tokens": np.asarray(clip.tokens[span]),
            "masks": np.asarray(clip.masks[span]),
            "frames": np.arange(start, start + length),
            "truth": np.asarray(clip.corrected[span]),
            "supervised": supervised[span],
            "table": table,
            "exemplar_tokens": np.asarray(clip.tokens[read.tolist()])[rows],
            "exemplar_masks": np.asarray(clip.masks[read.tolist()])[rows, objects],
            "exemplar_scores": np.asarray(clip.scores[read.tolist()])[rows, objects],
        }


@dataclass(frozen=True)
class CorrectorClipLoss:
    """The corrector's loss against a clip's `corrected` masks, in supervised frames.

    Attributes:
        weights: weights of the terms of `models.training.losses.corrector_losses`.
        use_masks: whether the UNet sees the proposals.
        precision: see `models.training.loop.autocast`.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: CORRECTOR_PSEUDO_WEIGHTS)
    use_masks: bool = False
    precision: str = "float32"

    def __call__(self, module: Corrector, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch of `CorrectorClipBatches`: the mean over its episodes."""
        return mean_of([self.of_episode(module, episode) for episode in batch["episodes"]])

    def of_episode(self, module: Corrector, episode: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of one episode."""
        with autocast(episode["rgb"].device, self.precision):
            answer = correct_episode(module, episode, use_masks=self.use_masks)
        return corrector_losses(
            *(part.float() for part in (answer.logits, answer.features, answer.alpha)),
            tokens=episode["tokens"][None].float(),
            truth=episode["truth"][None],
            supervised=episode["supervised"][None],
            weights=weights_for(module, self.weights),
        )


def pseudo_label_loss(reconstruction: bool, dice: float, precision: str) -> CorrectorClipLoss:
    """Return the loss of an adaptation.

    Args:
        reconstruction: whether the tokens are reconstructed (Table 15).
        dice: weight of soft Dice. Cross entropy alone gives smaller masks than it learns: a part that only some
            labels have becomes less likely than 0.5.
        precision: see `models.training.loop.autocast`.
    """
    left_out = set() if reconstruction else {"reconstruction"}
    weights = {name: value for name, value in CORRECTOR_PSEUDO_WEIGHTS.items() if name not in left_out}
    if dice:
        weights["dice"] = dice
    return CorrectorClipLoss(weights, precision=precision)


def adapt_corrector(
    checkpoint: Checkpoint,
    clips: Sequence[CorrectorClip],
    course: Course,
    *,
    batch: int = 1,
    window: int = 7,
    limit: int = PART_LIMIT,
    target: int = PART_LENGTH,
    reconstruction: bool = True,
    dice: float = 0.0,
    recipe: dict[str, Any] | None = None,
) -> Checkpoint:
    """Continue training a checkpoint on the pseudo-labels of clips.

    Args:
        checkpoint: corrector to start from.
        clips: clips with pseudo-labels.
        course: hyperparameters.
        batch: episodes in a step.
        window: target frames of an episode.
        limit: the value that the selection used.
        target: the value that the selection used.
        reconstruction: see `pseudo_label_loss`.
        dice: see `pseudo_label_loss`.
        recipe: identifies the clips (by their keys) in the new checkpoint and when a run is resumed.
    """
    if not clips:
        raise ValueError("clips: wanted at least one to adapt to, got none")
    training = {
        "on": TrainedOn.PSEUDO_LABELS.value,
        "batch": batch,
        "window": window,
        "limit": limit,
        "target": target,
    }
    training |= {"reconstruction": reconstruction, "dice": dice, **(recipe or {})}
    return go_on(
        checkpoint,
        build_network(checkpoint, course.device, expect="corrector"),
        CorrectorClipBatches(clips, window, limit, target, batch),
        pseudo_label_loss(reconstruction, dice, course.precision),
        course,
        training,
    )
