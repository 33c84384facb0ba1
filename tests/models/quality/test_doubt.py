"""Frames on which the stages disagree, or that do not fit their neighbours, are listed first, spread over the clip."""

import numpy as np
import pytest

from motion_adapt.models.quality.doubt import disagreement, inconsistency, most_doubtful

T, H, W = 40, 16, 32


def square(left: int = 8) -> np.ndarray:
    """The same square in every frame, bool (T, 1, H, W)."""
    masks = np.zeros((T, 1, H, W), np.bool_)
    masks[:, :, 4:12, left : left + 8] = True
    return masks


def test_stages_that_agree_leave_no_doubt_and_half_shared_masks_leave_two_thirds() -> None:
    one, other = square(), square()
    other[5] = square(12)[5]  # IoU 1/3
    found = disagreement([one, other])
    assert found[5] == pytest.approx(2 / 3) and not np.delete(found, 5).any()
    three = disagreement([one, one, other])
    assert three[5] == pytest.approx(2 / 3 * 2 / 3)  # two pairs of three disagree


def test_objects_count_together_and_empty_masks_agree() -> None:
    one, other = (np.zeros((3, 2, H, W), np.bool_) for _ in range(2))
    one[0, 0, :4], other[0, 1, :4] = True, True
    assert not disagreement([one, other]).any()


@pytest.mark.parametrize("gap", [1, 2])
def test_a_mask_that_jumps_does_not_fit_its_neighbours(gap: int) -> None:
    masks, still = square(), np.zeros((T, 4, H, W), np.float16)
    masks[33] = square(16)[33]
    found = inconsistency(masks, still, gap=gap)
    assert found[33] == pytest.approx(1)
    assert found[33 - gap] == found[33 + gap] == pytest.approx(0.5)
    assert np.count_nonzero(found) == 3


def test_the_first_frame_is_amid_the_doubt_and_the_others_are_elsewhere() -> None:
    doubt = np.full(T, 0.01)
    doubt[4:13] = 0.8
    doubt[30:33] = 0.5
    first, second, third = most_doubtful(doubt, 3)
    assert 6 <= first <= 10
    assert 28 <= second <= 34
    assert len({first, second, third}) == 3


def test_no_doubt_no_frames_and_frames_by_hand_are_not_listed() -> None:
    assert most_doubtful(np.zeros(T), 3) == []
    without = np.zeros(T, np.bool_)
    without[::2] = True
    assert all(index % 2 for index in most_doubtful(np.ones(T), 5, without=without))
    assert sorted(most_doubtful(np.ones(2), 3)) == [0, 1]
