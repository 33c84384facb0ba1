"""Identity swaps are found exactly where they were injected, and trigger the gate."""

import numpy as np
import pytest

from motion_adapt.models.quality.gate import Verdict, alarms, gate
from motion_adapt.models.quality.identity import Switch, assignment, identity_switches, same_identities

T, K, H, W = 12, 3, 48, 80


@pytest.fixture
def moving():
    """Return two boxes, one moving right, one left, with their exact flow; the third object is empty."""
    masks, flow = np.zeros((T, K, H, W), bool), np.zeros((T, 4, H, W), np.float32)
    for t in range(T):
        masks[t, 0, 4:20, 5 + 2 * t : 25 + 2 * t] = True
        masks[t, 1, 26:44, 50 - t : 70 - t] = True
        for k, speed in ((0, 2), (1, -1)):
            flow[t, 0][masks[t, k]], flow[t, 2][masks[t, k]] = speed, -speed
    return masks, flow


def swapped(masks, frames, order=(1, 0, 2)):
    fault = masks.copy()
    fault[frames] = masks[frames][:, list(order)]
    return fault


@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_objects_that_keep_their_channels_have_no_switch(moving, chunk):
    masks, flow = moving
    assert identity_switches(masks, flow, chunk=chunk) == (0.0, ())
    assert identity_switches(np.zeros_like(masks), flow, chunk=chunk) == (0.0, ())


@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_a_lasting_swap_is_found_at_its_frame(moving, chunk):
    masks, flow = moving
    found = identity_switches(swapped(masks, slice(8, None)), flow, chunk=chunk)
    assert found.switches == (Switch(8, (0, 1)),)
    assert found.switched == pytest.approx(4 / 12)


def test_a_swap_for_a_single_frame_counts_for_that_frame(moving):
    masks, flow = moving
    found = identity_switches(swapped(masks, slice(5, 6)), flow)
    assert [item.frame for item in found.switches] == [5, 6]
    assert found.switched == pytest.approx(1 / 12)


def test_an_object_handed_over_to_an_empty_channel_is_a_switch(moving):
    masks, flow = moving
    found = identity_switches(swapped(masks, slice(6, None), (2, 1, 0)), flow)
    assert found.switches == (Switch(6, (0, 2)),) and found.switched == 0.5


def test_with_a_larger_gap_each_frame_is_followed_from_its_own_past(moving):
    masks, flow = moving
    three = np.zeros_like(flow)
    three[:] = 3 * flow  # constant speeds
    found = identity_switches(swapped(masks, slice(9, None)), three, gap=3)
    assert found.switched == pytest.approx(3 / 12)
    assert {item.frame for item in found.switches} == {9, 10, 11}


def test_objects_that_merely_vanish_or_overlap_little_are_not_switched(moving):
    masks, flow = moving
    gone, nibbled = masks.copy(), masks.copy()
    gone[6:, 0] = False
    nibbled[6:, 2, 4:8], nibbled[6:, 0, 4:8] = masks[6:, 0, 4:8], False  # a quarter of the first object
    for masks_now in (gone, nibbled):
        assert identity_switches(masks_now, flow).switched == 0


def test_assignment_prefers_the_plain_one():
    empty = np.zeros((K, 4, 4), bool)
    assert assignment(empty, empty).tolist() == [0, 1, 2]


def test_identities_between_rounds(moving):
    masks, _ = moving
    assert same_identities(masks, masks, chunk=5) == 1
    assert same_identities(masks, swapped(masks, slice(0, 9)), chunk=5) == pytest.approx(3 / 12)
    assert same_identities(masks, np.roll(masks, 1, axis=3)) == 1
    with pytest.raises(ValueError, match="one shape"):
        same_identities(masks, masks[:3])


def test_injected_swaps_trigger_the_gate(moving):
    masks, flow = moving

    def measured(now):
        return {
            "identity_switches": identity_switches(now, flow).switched,
            "identity_previous": same_identities(masks, now),
        }

    healthy = {"identity_switches": 0.0}
    assert gate(healthy, measured(masks)).verdict is Verdict.KEEP
    along = gate(healthy, measured(swapped(masks, slice(6, None))))
    assert along.verdict is Verdict.ROLL_BACK and "swap identities" in along.reasons[0]
    between = gate(healthy, measured(swapped(masks, slice(None))))  # no swap within the clip
    assert between.verdict is Verdict.ROLL_BACK and "identity_previous" in between.reasons[0]


def test_alarms_of_a_clip_say_what_is_wrong(moving):
    masks, flow = moving
    measures = {"empty_frames": 0.0, "coverage": 0.1, "identity_switches": 0.0}
    assert alarms(measures) == ()
    switched = identity_switches(swapped(masks, slice(8, None)), flow).switched
    assert alarms(measures | {"identity_switches": switched}) == (
        "objects swap identities for 33% of the frames",
    )
    assert len(alarms({"empty_frames": 1.0, "coverage": 0.95, "identity_switches": None})) == 2


def test_a_few_collapsed_clips_are_not_hidden_by_the_mean():
    before = {"alarmed_clips": 0.0, "empty_frames": 0.02}
    assert gate(before, {"alarmed_clips": 0.05, "empty_frames": 0.07}).verdict is Verdict.KEEP
    held = gate(before, {"alarmed_clips": 0.15, "empty_frames": 0.09})
    assert held.verdict is Verdict.HOLD and "alarmed_clips" in held.reasons[0]
