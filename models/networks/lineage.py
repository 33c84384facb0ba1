"""The lineage of a checkpoint: its own training and those that it started from, as typed values.

The promise that results are label-free rests on this. A recipe records the kind of training as text under "on"; every
kind is a member of `TrainedOn`, which trainings write and `trainings_of` reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

BY_HAND = "masks_by_hand"  # in a recipe: how many masks by hand were learnt from


class TrainedOn(Enum):
    """The kinds of training data. The value is the text that recipes record."""

    SYNTHETIC_CLIPS = "synthetic clips"
    SYNTHETIC_CORRESPONDENCES = "synthetic correspondences"
    PSEUDO_LABELS = "pseudo-labels"
    PSEUDO_LABELS_OF_ONE_CLIP = "pseudo-labels of one clip"
    REFINED_PSEUDO_LABELS = "pseudo-labels refined by a model that was trained with annotations"
    MASKS_OF_ONE_CLIP = "masks of one clip"
    MASKS_OF_CLIPS = "masks of clips"
    ANNOTATIONS = "annotations"

    @property
    def is_synthetic(self) -> bool:
        """Whether the training was a pre-training."""
        return self in (TrainedOn.SYNTHETIC_CLIPS, TrainedOn.SYNTHETIC_CORRESPONDENCES)

    @property
    def is_supervised(self) -> bool:
        """Whether annotations were used, directly or by another model."""
        return self in (TrainedOn.REFINED_PSEUDO_LABELS, TrainedOn.ANNOTATIONS)


@dataclass(frozen=True)
class Training:
    """One training of a checkpoint.

    Attributes:
        on: its data; None if the recipe does not state it, as in checkpoints of the papers' authors.
        steps: its length, or None.
        from_scratch: whether it started from random weights.
        by_hand: number of masks by hand among its data.
    """

    on: TrainedOn | None
    steps: int | None
    from_scratch: bool
    by_hand: int = 0


def trainings_of(settings: Mapping[str, Any]) -> tuple[Training, ...]:
    """Read the trainings from a checkpoint's settings as far as recorded, latest first and that from scratch last.

    Raises:
        ValueError: a recipe names a kind of training data that is not in `TrainedOn`.
    """
    found, recipe = [], settings.get("training")
    while recipe:
        on = recipe.get("on")
        try:
            kind = None if on is None else TrainedOn(on)
        except ValueError:
            known = ", ".join(kind.value for kind in TrainedOn)
            raise ValueError(f'the checkpoint was trained on "{on}"; this version knows {known}') from None
        by_hand = recipe.get(BY_HAND, 0)
        found.append(Training(kind, recipe.get("steps"), "start" not in recipe, by_hand))
        recipe = recipe.get("start")
    return tuple(found)


def is_supervised(settings: Mapping[str, Any]) -> bool:
    """Return whether annotations were used for a checkpoint, in its own training or in one that it started from."""
    return any(training.on is not None and training.on.is_supervised for training in trainings_of(settings))


def masks_by_hand(count: int) -> dict[str, int]:
    """Return the entry of a recipe for a training that learns from `count` masks by hand; empty if `count` is 0."""
    return {BY_HAND: count} if count else {}


def by_hand_text(count: int) -> str:
    """Return `count` in words: `1 mask by hand`, `2 masks by hand`."""
    return f"{count} mask{'s' * (count != 1)} by hand"


def learnt_by_hand(settings: Mapping[str, Any]) -> int:
    """Return the most masks by hand that a checkpoint learnt from in one of its trainings."""
    return max((training.by_hand for training in trainings_of(settings)), default=0)
