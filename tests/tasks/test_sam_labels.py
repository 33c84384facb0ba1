"""Masks that SAM refined teach like those that it was given."""

from pathlib import Path

import numpy as np
import pytest

from motion_adapt.storage.keys import Artifact, Recipe
from motion_adapt.tasks.by_hand import BY_HAND, by_hand_of
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.sam import to_teach


@pytest.mark.parametrize("by_hand", [None, np.array([False, True, False])])
def test_masks_by_hand_are_still_known_after_sam(by_hand: np.ndarray | None, tmp_path: Path) -> None:
    place = Place(store=str(tmp_path / "store"), scratch=str(tmp_path / "scratch"), threads=1)
    store = place.open()

    def written(stage: str, summary: dict[str, object], **arrays: np.ndarray) -> Artifact:
        with store.write(Recipe(stage, 1, {})) as out:
            for name, values in arrays.items():
                out.append(name, values, tuple(f"axis{axis}" for axis in range(values.ndim)))
            out.summary = summary
        return out.published

    before = {} if by_hand is None else {BY_HAND: by_hand}
    made = to_teach.make(
        written("sam", {"model": "SAM x"}, labels=np.ones((3, 32, 48), np.uint8)),
        written("edges", {}, masks=np.zeros((3, 2, 128, 224), np.bool_), **before),
        objects=2,
        place=place,
    )
    found = store.open(made)
    marks = by_hand_of(found)
    assert (marks is None) if by_hand is None else np.array_equal(marks, by_hand)
    assert found.summary["refined_by"] == "SAM x"
    assert found.array("masks")[:].any(axis=(0, 2, 3)).tolist() == [True, False]
