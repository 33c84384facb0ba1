"""A mask by hand is carried along the flow, as far as the flow can be trusted."""

import numpy as np

from motion_adapt.models.inference.carrying import LOST, SEEN, Carried

T, K, H, W, STEP = 7, 2, 24, 60, 4


def moving(objects: int = K) -> tuple[np.ndarray, np.ndarray]:
    """A square of object 0 that moves to the right in a flow that says so: masks (T, K, H, W) and flow (T, 4, H, W)."""
    masks, flow = np.zeros((T, objects, H, W), np.float32), np.zeros((T, 4, H, W), np.float32)
    for t in range(T):
        masks[t, 0, 8:16, 10 + STEP * t : 18 + STEP * t] = 1
    flow[:, 0], flow[:, 2] = STEP, -STEP
    return masks, flow


def test_a_right_mask_mends_wrong_ones_around_it() -> None:
    right, flow = moving()
    given = np.zeros_like(right)
    given[3] = right[3]
    found = Carried(given, flow, [3])[0:T]
    inside = (slice(None), slice(None), slice(8, 16), slice(4 * STEP, W - 4 * STEP))
    assert ((found > 0.5) == (right > 0.5))[inside].all()
    np.testing.assert_array_equal(found[3], right[3])
    assert abs(found[4, 0, 12, 10 + STEP * 4 + 3] - SEEN) < 1e-3


def test_a_given_frame_stays_and_ends_what_comes_from_others() -> None:
    right, flow = moving()
    given = np.zeros_like(right)
    given[1] = right[1]
    found = Carried(given, flow, [1, 3])[0:T]  # nothing is in frame 3
    assert not found[3:].any() and found[2].max() < SEEN
    assert (found[2, 0] > 0).any()


def test_points_out_of_sight_are_hardly_believed() -> None:
    right, flow = moving()
    flow[4, 2:] = 30  # frame 4 disagrees with frame 3 about where it comes from
    given = np.zeros_like(right)
    given[3] = right[3]
    found = Carried(given, flow, [3])[0:T]
    assert found[4].max() <= LOST + 1e-3


def test_frames_apart_give_and_get_nothing() -> None:
    right, flow = moving()
    apart = np.zeros(T, np.bool_)
    apart[4] = True
    given = np.zeros_like(right)
    given[3] = right[3]
    found = Carried(given, flow, [3], apart=apart)[0:T]
    assert found[2].any() and not found[4:].any()
    given[4] = right[4]
    np.testing.assert_array_equal(Carried(given, flow, [4], apart=apart)[0:T], given)


def test_a_wider_gap_reaches_the_frames_at_that_distance() -> None:
    right, flow = moving()
    flow *= 2
    given = np.zeros_like(right)
    given[3] = right[3]
    found = Carried(given, flow, [3], gap=2)[0:T]
    assert [bool(frame.any()) for frame in found] == [False, True, False, True, False, True, False]


def test_pieces_are_those_of_the_whole() -> None:
    right, flow = moving()
    whole = Carried(right, flow, [2])
    np.testing.assert_array_equal(np.concatenate([whole[0:3], whole[3:T]]), whole[0:T])
