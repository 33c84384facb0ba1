"""Parts that move as one become one object; objects that move differently stay two."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from motion_adapt.models.inference.joining import join

T, H, W = 3, 40, 60


def scene(left, right, behind=(0.0, 0.0)):
    """Return two adjacent rectangles with their own flow on a background. The left one is larger, in channel 2."""
    masks, flow = np.zeros((T, 3, H, W), bool), np.zeros((T, 4, H, W), np.float32)
    flow[:, :2] = np.reshape(behind, (2, 1, 1))
    for channel, columns, moves in ((2, slice(10, 34), left), (0, slice(34, 50), right)):
        masks[:, channel, 8:32, columns] = True
        flow[:, :2, 8:32, columns] = np.reshape(moves, (2, 1, 1))
    flow[:, 2:] = -flow[:, :2]
    return masks, flow


def test_parts_that_move_as_one_are_one_object_in_the_channel_of_the_larger():
    masks, flow = scene((5, 0), (5.5, 0))
    joined = join(masks, flow, 0.5)
    np.testing.assert_array_equal(joined[:, 2], masks.any(axis=1))
    assert not joined[:, :2].any()


def test_objects_that_move_apart_stay_two():
    masks, flow = scene((5, 0), (-5, 0))
    np.testing.assert_array_equal(join(masks, flow, 0.5), masks)


def test_camera_motion_joins_nothing():
    """The change of the flow matters, not the flow itself."""
    for behind in ((0, 0), (40, -30)):
        masks, flow = scene(np.add((5, 0), behind), np.add((5.5, 0), behind), behind)
        assert np.count_nonzero(join(masks, flow, 0.5).any(axis=(0, 2, 3))) == 1


def test_objects_that_do_not_meet_stay_two():
    masks, flow = scene((5, 0), (5, 0))
    masks[..., 30:40] = False
    np.testing.assert_array_equal(join(masks, flow, 0.5), masks)


def test_nothing_is_joined_at_a_contrast_of_zero():
    masks, flow = scene((5, 0), (5, 0))
    np.testing.assert_array_equal(join(masks, flow, 0.0), masks)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_three_parts_become_one_whatever_their_channels(order):
    masks = np.zeros((T, 3, H, W), bool)
    for channel, start in zip(order, (5, 20, 35), strict=True):
        masks[:, channel, 8:32, start : start + 15] = True
    flow = np.where(masks.any(axis=1)[:, None], 4, 0) * np.ones((1, 4, 1, 1), np.float32)
    joined = join(masks, flow, 0.5)
    assert np.count_nonzero(joined.any(axis=(0, 2, 3))) == 1
    np.testing.assert_array_equal(joined.any(axis=1), masks.any(axis=1))


@given(
    labels=arrays(np.uint8, (2, 12, 14), elements=st.integers(0, 3)),
    flow=arrays(np.float32, (2, 4, 12, 14), elements=st.floats(-20, 20, width=32)),
    contrast=st.floats(0, 3),
)
def test_joining_moves_whole_objects_and_no_pixel(labels, flow, contrast):
    masks = labels[:, None] == np.arange(1, 4)[None, :, None, None]
    joined = join(masks, flow, contrast)
    np.testing.assert_array_equal(joined.any(axis=1), masks.any(axis=1))
    assert joined.sum(axis=1).max() <= 1
    for k in range(3):
        shares = [joined[:, j][masks[:, k]] for j in range(3)]
        assert all(share.all() or not share.any() for share in shares)
