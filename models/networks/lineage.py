"""What a checkpoint was trained on, in its own training and in those that it started from, as typed values.

The promise that results are label-free rests on this. A recipe records the kind of training as text under "on"; every
kind is a member of `TrainedOn`, which trainings write and `trainings_of` reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


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
        """Whether annotations took part, be it through another model."""
        return self in (TrainedOn.REFINED_PSEUDO_LABELS, TrainedOn.ANNOTATIONS)


@dataclass(frozen=True)
class Training:
    """One training of a checkpoint.

    Attributes:
        on: its data; None if the recipe does not state it, as in checkpoints of the papers' authors.
        steps: its length, or None.
        from_scratch: whether it started from random weights.
    """

    on: TrainedOn | None
    steps: int | None
    from_scratch: bool


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
        found.append(Training(kind, recipe.get("steps"), "start" not in recipe))
        recipe = recipe.get("start")
    return tuple(found)


def is_supervised(settings: Mapping[str, Any]) -> bool:
    """Return whether annotations were used for a checkpoint, in its own training or in one that it started from."""
    return any(training.on is not None and training.on.is_supervised for training in trainings_of(settings))
