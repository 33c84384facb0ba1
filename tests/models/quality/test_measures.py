"""Label-free measures: they are high for good masks and fall with injected faults."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from motion_adapt.models.quality.measures import (
    FAR_BEHIND,
    agreement,
    far_behind,
    flow_consistency,
    overall,
    predicted_errors,
    rank_correlation,
    shares,
)

T, K, H, W = 9, 3, 48, 80
SPEED = 3


@pytest.fixture
def moving():
    """Return a box that moves right by SPEED over a static background, with its exact flow, and two empty objects."""
    masks, flow = np.zeros((T, K, H, W), bool), np.zeros((T, 4, H, W), np.float32)
    for t in range(T):
        masks[t, 0, 10:30, 8 + SPEED * t : 28 + SPEED * t] = True
        flow[t, 0][masks[t, 0]], flow[t, 2][masks[t, 0]] = SPEED, -SPEED
    return masks, flow


# ---------------------------------------------------------------------------------- flow consistency


def test_masks_that_follow_the_flow_are_consistent(moving):
    masks, flow = moving
    found = flow_consistency(masks, flow, chunk=4)
    assert found == 1
    assert flow_consistency(masks, flow.astype(np.float16)) == found


def test_faults_lower_the_consistency(moving):
    masks, flow = moving
    still, flicker, wide = masks.copy(), masks.copy(), masks.copy()
    still[:] = masks[0]
    flicker[::2] = False
    wide[::2, 0] |= np.roll(masks[::2, 0], 8, axis=1)
    for name, fault, most in (("still", still, 0.9), ("flicker", flicker, 0.0), ("wide", wide, 0.8)):
        assert flow_consistency(fault, flow) <= most, name


def test_chunks_change_nothing(moving):
    masks, flow = moving
    masks = np.roll(masks, 5, axis=3) | masks
    wanted = flow_consistency(masks, flow, chunk=100)
    for chunk in (1, 2, 5):
        assert flow_consistency(masks, flow, chunk=chunk) == wanted


def test_the_gap_is_that_of_the_flow(moving):
    masks, flow = moving
    assert flow_consistency(masks, 2 * flow, gap=2) == 1
    with pytest.raises(ValueError, match="gap"):
        flow_consistency(masks, flow, gap=0)


def test_empty_masks_are_no_evidence(moving):
    masks, flow = moving
    assert flow_consistency(np.zeros_like(masks), flow) is None
    assert flow_consistency(masks[:1], flow[:1]) is None


def test_pixels_out_of_view_or_hidden_do_not_count():
    masks, flow = np.zeros((2, 1, H, W), bool), np.zeros((2, 4, H, W), np.float32)
    masks[0, 0, 10:30, :20] = True
    masks[1, 0, 10:30, :10] = True
    flow[:, 0], flow[:, 2] = -10, 10
    assert flow_consistency(masks, flow) == 1  # half of the object has left the frame
    masks[:], flow[:] = False, 0
    masks[0, 0, 10:30, 20:40] = masks[1, 0, 10:30, 30:40] = True
    flow[1, 2, :, 20:30] = 7  # something else now covers the left half, with a different backward flow
    assert flow_consistency(masks, flow) == 1


def test_shapes_are_checked(moving):
    masks, flow = moving
    with pytest.raises(ValueError, match="flow"):
        flow_consistency(masks, flow[:-1])
    with pytest.raises(ValueError, match="one shape"):
        agreement(masks, masks[:-1])


# -------------------------------------------------------------------------------------- other measures


def test_agreement(moving):
    masks, _ = moving
    half = masks.copy()
    half[:, 0, 20:] = False
    assert agreement(masks, masks) == 1
    assert agreement(masks, half, chunk=2) == 0.5  # the other channels are empty
    assert agreement(masks, np.zeros_like(masks)) == 0
    assert agreement(np.zeros_like(masks), np.zeros_like(masks)) is None


@given(arrays(bool, (3, 2, 4, 5)), arrays(bool, (3, 2, 4, 5)), st.integers(1, 4))
def test_agreement_is_a_symmetric_share(first, second, chunk):
    found = agreement(first, second, chunk=chunk)
    assert found == agreement(second, first)
    if not (first | second).any():
        assert found is None
    else:
        assert 0 <= found <= 1
        assert (found == 1) == np.array_equal(first, second)


def test_shares(moving):
    masks, _ = moving
    found = shares(masks, chunk=2)
    assert found == (pytest.approx(2 / 3), 0, pytest.approx(20 * 20 / (H * W)))
    masks[:3] = False
    assert shares(masks).empty_frames == pytest.approx(3 / 9)
    assert shares(np.ones((2, 1, 4, 4), bool)) == (0, 0, 1)
    with pytest.raises(ValueError, match="one frame"):
        shares(masks[:0])


def test_predicted_errors_leave_empty_masks_out():
    errors = np.array([[0.1, 9000.0], [0.3, 0.5], [0.8, 0.7]])
    masked = errors < 100
    exemplars = np.array([[True, True], [True, True], [False, False]])
    of_exemplars, of_all = predicted_errors(errors, exemplars, masked)
    assert of_exemplars == pytest.approx(0.3) and of_all == pytest.approx(0.48)
    assert predicted_errors(errors, exemplars, np.zeros_like(masked)) == (None, None)


# ---------------------------------------------------------------------------------- overall quality


GOOD = {"flow_consistency": 0.9, "agreement_proposal": 0.8, "empty_frames": 0.0, "frame_error": 0.1}


def test_overall_quality_falls_with_every_fault():
    best = overall(GOOD)
    assert 0.8 < best < 1
    for name, worse in (
        ("flow_consistency", 0.3), ("agreement_proposal", 0.1), ("empty_frames", 0.9), ("frame_error", 3.0),
        ("identity_switches", 0.7),
    ):  # fmt: skip
        assert overall(GOOD | {name: worse}) < best, name
    assert overall(GOOD | {"empty_frames": 1.0}) == 0


def test_overall_quality_of_what_could_be_measured():
    assert overall({"flow_consistency": 0.7, "frame_error": None}) == pytest.approx(0.7)
    assert overall({"coverage": 0.2}) is None


def test_rank_correlation_is_that_of_the_ranks():
    scores = [0.2, 0.4, 0.6, 0.9]
    assert rank_correlation([1, 10, 100, 1000], scores) == pytest.approx(1)
    assert rank_correlation([-1, -10, -100, -1000], scores) == pytest.approx(-1)
    assert rank_correlation([1, 2, 4, 3, np.nan], [*scores, 0.1]) == pytest.approx(0.8)


def test_too_few_or_equal_values_rank_nothing():
    assert rank_correlation([1, 2, 3], [1, 2, 3]) is None
    assert rank_correlation([1, 1, 1, 1], [1, 2, 3, 4]) is None


def test_clips_far_below_the_others_are_named():
    quality = {"a": 0.7, "b": 0.75, "c": 0.7 - FAR_BEHIND - 0.01, "d": 0.72, "e": None, "f": 0.65}
    assert far_behind(quality) == ["c"]
    assert far_behind({}) == far_behind({"a": None}) == far_behind({"a": 0.1}) == []


@given(st.dictionaries(st.text(max_size=3), st.none() | st.floats(0, 1), max_size=9))
def test_at_least_half_of_the_clips_are_never_far_behind(quality):
    assert 2 * len(far_behind(quality)) <= len(quality)
