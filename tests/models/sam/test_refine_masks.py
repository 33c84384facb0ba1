"""Refined masks are disjoint, and those that SAM would replace by something else are kept."""

from typing import Any

import numpy as np
import pytest

from motion_adapt.models.sam.asking import Asking
from motion_adapt.models.sam.find_sam import find_sam
from motion_adapt.models.sam.refine_masks import choose, iou, refine_frame, settle
from motion_adapt.models.sam.segmenter import Segmenter, View, load_segmenter
from tests.needs import transformers
from tests.tiny_sams import KINDS

SIZE = (32, 48)


def two_objects() -> np.ndarray:
    labels = np.zeros(SIZE, np.uint8)
    labels[4:20, 4:20] = 1
    labels[8:28, 24:44] = 4
    return labels


def logits(mask: np.ndarray, strength: float = 3.0) -> np.ndarray:
    return np.where(mask, strength, -strength).astype(np.float32)


def test_a_pixel_claimed_twice_goes_to_the_higher_logit() -> None:
    labels = two_objects()
    first, second = labels == 1, labels == 4
    wide = first.copy()
    wide[8:20, 20:26] = True
    found = settle(labels, [(1, logits(wide, 5)), (4, logits(second, 2))], 0.5)
    assert (found.labels[8:20, 24:26] == 1).all() and (found.asked, found.kept) == (2, 0)
    found = settle(labels, [(1, logits(wide, 2)), (4, logits(second, 5))], 0.5)
    assert (found.labels[8:20, 24:26] == 4).all() and (found.labels[8:20, 20:24] == 1).all()
    tie = settle(labels, [(1, logits(wide, 2)), (4, logits(second, 2))], 0.5)
    assert (tie.labels[8:20, 24:26] == 1).all()


def test_an_answer_that_is_something_else_is_not_taken() -> None:
    labels = two_objects()
    part = np.zeros(SIZE, bool)
    part[4:12, 4:20] = True  # half of the object: an IoU of 0.5
    answers = [(1, logits(part)), (4, logits(labels == 0))]
    found = settle(labels, answers, 0.5)
    assert np.array_equal(found.labels == 1, part) and (found.asked, found.kept) == (2, 1)
    assert np.array_equal(found.labels == 4, labels == 4)
    strict = settle(labels, answers, 0.51)
    assert np.array_equal(strict.labels, labels) and strict.kept == 2
    trusting = settle(labels, [(1, logits(np.zeros(SIZE, bool)))], 0.0)
    assert not trusting.labels.any() and trusting.kept == 0


def test_the_candidates_are_chosen_by_score_or_by_the_mask() -> None:
    mask = two_objects() == 1
    candidates = np.stack([logits(np.zeros_like(mask)), logits(mask), logits(~mask)])
    scores = np.array([0.2, 0.1, 0.9], np.float32)
    assert np.array_equal(choose(candidates, scores, mask, "best"), candidates[2])
    assert np.array_equal(choose(candidates, scores, mask, "closest"), candidates[1])
    assert iou(mask, mask) == 1 and iou(mask, ~mask) == 0 and iou(mask & ~mask, mask & ~mask) == 1


class Counted(Segmenter):
    """A segmenter that counts the embeddings it computes."""

    looks = 0

    def look(self, frame: np.ndarray) -> View:
        self.looks += 1
        return super().look(frame)


def counted(folder: Any) -> Counted:
    loaded = load_segmenter(find_sam(str(folder)), "cpu")
    return Counted(loaded.kind, loaded.model, loaded.images, loaded.device)


@transformers
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("output", ["single", "best", "closest"])
def test_a_frame_is_refined_with_one_look(kind: str, output: Any, tiny_sams: Any) -> None:
    ours = counted(tiny_sams(kind))
    frame = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    labels = two_objects()
    labels[0, 0] = 255  # void
    found = refine_frame(ours, frame, labels, Asking(output=output, least_iou=0.0))
    assert ours.looks == 1 and (found.asked, found.kept) == (2, 0)
    assert set(np.unique(found.labels)) <= {0, 1, 4} and found.labels.shape == SIZE
    guarded = refine_frame(ours, frame, labels, Asking(output=output, least_iou=1.0))
    assert guarded.kept == 2 and np.array_equal(guarded.labels, two_objects())
    assert np.array_equal(
        found.labels, refine_frame(ours, frame, labels, Asking(output=output, least_iou=0.0)).labels
    )


@transformers
def test_an_empty_frame_asks_nothing(tiny_sams: Any) -> None:
    ours = counted(tiny_sams("sam"))
    found = refine_frame(ours, np.zeros((*SIZE, 3), np.uint8), np.zeros(SIZE, np.uint8), Asking())
    assert not found.labels.any() and ours.looks == 0 and found.asked == 0
    with pytest.raises(ValueError, match="like the frame"):
        refine_frame(ours, np.zeros((*SIZE, 3), np.uint8), np.zeros((4, 4), np.uint8), Asking())
