"""Selection AP (paper, C.1) against cases computed by hand, and its results in cases that the paper leaves open."""

import numpy as np
import pytest

from motion_adapt.models.scoring.ranking import average_precision, mask_ious, object_aps, selection_ap


def ap(quality, ious, **options):
    return selection_ap(np.array(quality, float), np.array(ious, float), **options)


def test_average_precision_by_hand():
    # ranked: + - + - ; precision 1/1 at the first, 2/3 at the third
    values, positive = np.array([0.9, 0.5, 0.7, 0.1]), np.array([True, True, False, False])
    assert average_precision(values, positive) == pytest.approx((1 + 2 / 3) / 2)
    # - - + +
    assert average_precision(np.array([1.0, 2, 3, 4]), positive) == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_equal_values_share_a_rank():
    positive = np.array([True, False, True, False])
    assert average_precision(np.ones(4), positive) == pytest.approx(0.5)
    # + then a tie of - and +: 1/1 and 2/3, whichever of the two comes first
    assert average_precision(np.array([3.0, 2, 2, 1]), positive) == pytest.approx((1 + 2 / 3) / 2)


def test_ten_best_and_ten_worst_of_many_frames_count():
    ious = np.linspace(0.2, 0.9, 30)
    assert ap(ious, ious) == 1.0
    # the worst possible order: ten bad ones first, then precision 1/11, 2/12 ... 10/20
    assert ap(-ious, ious) == pytest.approx(np.mean([i / (10 + i) for i in range(1, 11)]))
    middle = ious.copy()
    middle[10:20] = np.random.default_rng(0).random(10)  # predictions for the ten in between do not matter
    assert ap(middle, ious) == 1.0


def test_few_frames_are_halved():
    # 5 frames: 2 best (0.9, 0.8), 2 worst (0.1, 0.2); the middle one does not count
    ious = [0.9, 0.1, 0.5, 0.8, 0.2]
    assert ap([4, 3, 99, 2, 1], ious) == pytest.approx((1 + 2 / 3) / 2)
    assert ap([1, 2], [0.3, 0.4]) == 1.0
    assert ap([2, 1], [0.3, 0.4]) == 0.5


def test_masks_that_are_equally_good_have_no_ranking():
    assert np.isnan(ap([1.0], [0.5])) and np.isnan(ap([], [])) and np.isnan(ap([1, 2, 3], [0.5] * 3))
    # 0.9 0.5 0.5 0.1: with two on either side, both sides would contain 0.5, so only one on either side is used
    assert ap([1, 9, 9, 0], [0.9, 0.5, 0.5, 0.1]) == 1.0
    assert ap([0, 9, 9, 1], [0.9, 0.5, 0.5, 0.1]) == 0.5


def test_frames_without_iou_do_not_count():
    assert ap([9, 2, 1], [np.nan, 0.8, 0.2]) == 1.0
    assert ap([np.nan, 2, 1], [np.nan, 0.8, 0.2]) == 1.0
    with pytest.raises(ValueError, match="got NaN"):
        ap([np.nan, 2, 1], [0.5, 0.8, 0.2])
    with pytest.raises(ValueError, match="wanted two"):
        ap([1, 2], [0.5])


def test_a_random_order_reaches_the_papers_figure():
    rng, ious = np.random.default_rng(0), np.linspace(0, 1, 20)
    mean = np.mean([ap(rng.random(20), ious) for _ in range(4000)])
    harmonic = sum(1 / i for i in range(1, 21))
    assert mean == pytest.approx(9 / 19 + harmonic / 20 * 10 / 19, abs=0.01)  # the exact expectation
    assert mean == pytest.approx(0.568, abs=0.01)  # the paper's Table 3


def test_objects_are_judged_by_the_mask_that_fits_them():
    ious = np.zeros((4, 2, 2))
    ious[:, 0, 1] = [0.9, 0.8, 0.2, 0.1]  # object 0 is shown by mask 1
    ious[:, 1, 0] = [0.1, 0.9, np.nan, 0.2]
    quality = np.array([[1, 4], [2, 3], [9, 2], [0, 1]], float)
    # object 1, three frames that count, one on either side: 0.9 (quality 2) and 0.1 (quality 1)
    np.testing.assert_allclose(object_aps(quality, ious), [1.0, 1.0])
    np.testing.assert_allclose(object_aps(-quality, ious), [(1 / 3 + 2 / 4) / 2, 0.5])


def test_surplus_objects_and_masks_are_left_out():
    ious = np.zeros((4, 2, 1))
    ious[:, 1, 0] = [0.9, 0.8, 0.2, 0.1]
    assert object_aps(np.arange(4.0)[:, None], ious) == pytest.approx([(1 / 3 + 2 / 4) / 2])
    assert object_aps(np.ones((4, 1)), np.full((4, 1, 1), 0.5)).size == 0


def test_ious_of_masks_by_hand():
    masks, truth = np.zeros((2, 2, 4, 4), bool), np.zeros((2, 3, 4, 4), bool)
    masks[0, 0, :2], truth[0, 1, 1:3] = True, True  # 8 and 8 pixels, 4 shared
    truth[0, 2] = True
    found = mask_ious(masks, truth)
    assert found.shape == (2, 3, 2)
    np.testing.assert_allclose(found[0], [[0, np.nan], [4 / 12, 0], [0.5, 0]])
    assert np.isnan(found[1]).all()
