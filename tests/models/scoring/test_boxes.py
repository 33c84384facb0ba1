"""The box protocol of MoCA, on boxes whose IoU is known."""

import numpy as np
import pytest

from motion_adapt.models.scoring.boxes import box_iou, foreground, largest_box, score_boxes
from motion_adapt.models.scoring.protocols import NothingToScore

SIZE = 20, 40


def boxed(left: int, top: int, width: int, height: int, label: int = 1) -> np.ndarray:
    labels = np.zeros(SIZE, np.uint8)
    labels[top : top + height, left : left + width] = label
    return labels


def test_boxes_of_known_overlap() -> None:
    assert box_iou((0, 0, 4, 4), (0, 0, 4, 4)) == 1
    assert box_iou((0, 0, 4, 4), (2, 0, 4, 4)) == pytest.approx(8 / 24)
    assert box_iou((0, 0, 4, 4), (4, 0, 4, 4)) == 0
    assert box_iou((0, 0, 4, 4), None) == 0


def test_the_largest_part_has_the_box() -> None:
    mask = boxed(2, 3, 5, 4) + boxed(30, 10, 2, 2)
    assert largest_box(mask > 0) == (2, 3, 5, 4)
    assert largest_box(np.zeros(SIZE, bool)) is None


def test_a_mask_of_the_background_is_inverted() -> None:
    inside = boxed(8, 6, 10, 5) > 0
    np.testing.assert_array_equal(foreground(~inside), inside)
    np.testing.assert_array_equal(foreground(inside), inside)


def test_union_and_matched_of_a_clip() -> None:
    truth = boxed(4, 4, 10, 10)
    # the larger part is a different object
    both = boxed(4, 4, 10, 10, label=2) + boxed(20, 2, 15, 16, label=1)
    half = boxed(4, 4, 10, 5, label=2)
    scores, frames = score_boxes([(truth, both), (None, both), (truth, half), (0 * truth, half)], clip="crab")
    assert frames == 2
    assert scores["J"] == pytest.approx((0 + 0.5) / 2)
    assert scores["J_matched"] == pytest.approx((1 + 0.5) / 2)
    assert scores["SR_matched"] == pytest.approx(0.5)  # 0.5 is not above 0.5
    assert scores["SR"] == 0


def test_a_prediction_of_another_size_is_refused() -> None:
    pair = boxed(4, 4, 10, 10), np.zeros((10, 20), np.uint8)
    with pytest.raises(
        ValueError, match="dog, frame 1: the annotation is 40x20 pixels, the prediction 20x10"
    ):
        score_boxes([(None, pair[1]), pair], clip="dog")


def test_nothing_to_score() -> None:
    with pytest.raises(NothingToScore, match="crab: no frame with a box"):
        score_boxes([(None, boxed(0, 0, 2, 2))], clip="crab")
