"""The gate between rounds: which rounds it keeps, holds and rolls back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_adapt.models.quality.gate import RULES, RULES_ACROSS_RUNS, Verdict, gate
from motion_adapt.models.quality.measures import agreement, flow_consistency, shares

GOOD = {
    "empty_frames": 0.02,
    "flow_consistency": 0.85,
    "agreement_proposal": 0.6,
    "agreement_previous": 0.9,
    "exemplar_error": 0.2,
    "frame_error": 0.4,
    "coverage": 0.08,
    "identity_switches": 0.01,
    "identity_previous": 1.0,
    "alarmed_clips": 0.0,
}


def after(**changes):
    return gate(GOOD, GOOD | changes)


def test_a_round_that_is_no_worse_is_kept():
    assert gate(GOOD, GOOD) == (decision := after(flow_consistency=0.9, frame_error=0.35))
    assert decision.verdict is Verdict.KEEP and decision.reasons == ()
    assert gate({}, GOOD).verdict is Verdict.KEEP


def test_a_measure_with_two_rules_is_missed_once():
    assert [rule.measure for rule in RULES].count("flow_consistency") == 2
    decision = gate({"flow_consistency": 0.8}, {})
    assert decision.verdict is Verdict.HOLD
    assert decision.reasons == ("flow_consistency was 0.800 and could not be measured now",)


@pytest.mark.parametrize(
    "changes, verdict, word",
    [
        ({"empty_frames": 1.0}, "roll_back", "without an object"),
        ({"empty_frames": 0.5}, "roll_back", "empty_frames"),
        ({"empty_frames": 0.15}, "hold", "empty_frames"),
        ({"coverage": 0.95}, "roll_back", "fills the frame"),
        ({"coverage": 0.01}, "roll_back", "coverage"),
        ({"coverage": 0.03}, "hold", "coverage"),
        ({"flow_consistency": 0.7}, "roll_back", "0.850 -> 0.700: fall of 0.150"),
        ({"flow_consistency": 0.8}, "hold", "flow_consistency"),
        ({"exemplar_error": 0.4}, "roll_back", "exemplar_error"),
        ({"frame_error": 0.55}, "hold", "frame_error"),
        ({"agreement_previous": 0.2}, "hold", "agreement_previous"),
        ({"identity_switches": 0.1}, "hold", "identity_switches"),
        ({"identity_switches": 0.6}, "roll_back", "swap identities"),
        ({"identity_previous": 0.6}, "hold", "identity_previous"),
        ({"alarmed_clips": 0.4}, "roll_back", "alarmed_clips"),
        ({"agreement_proposal": 0.96}, "hold", "0.600 -> 0.960: leap of 0.360"),
        ({"flow_consistency": math.nan}, "roll_back", "nan"),
    ],
)
def test_faults(changes, verdict, word):
    decision = after(**changes)
    assert decision.verdict == verdict
    assert any(word in reason for reason in decision.reasons)


def test_the_most_serious_reason_comes_first():
    decision = after(flow_consistency=0.5, empty_frames=0.15)
    assert decision.verdict is Verdict.ROLL_BACK
    assert "flow_consistency" in decision.reasons[0] and "empty_frames" in decision.reasons[1]


def test_a_missing_measure_holds():
    current = {name: value for name, value in GOOD.items() if name != "exemplar_error"}
    decision = gate(GOOD, current)
    assert decision.verdict is Verdict.HOLD and "could not be measured" in decision.reasons[0]


def test_rules_across_runs_do_not_use_the_round_before():
    previous = ("agreement_previous", "identity_previous")
    first = {name: value for name, value in GOOD.items() if name not in previous}
    assert gate(GOOD, first).verdict is Verdict.HOLD
    assert gate(GOOD, first, RULES_ACROSS_RUNS).verdict is Verdict.KEEP
    assert gate(first, GOOD | {"agreement_previous": 0.1}, RULES_ACROSS_RUNS).verdict is Verdict.KEEP
    assert gate(GOOD, first | {"flow_consistency": 0.8}, RULES_ACROSS_RUNS).verdict is Verdict.HOLD


def test_a_leap_across_runs_is_no_fault():
    leap = GOOD | {"agreement_proposal": 0.96, "flow_consistency": 1.0}
    assert gate(GOOD, leap).verdict is Verdict.HOLD
    assert gate(GOOD, leap, RULES_ACROSS_RUNS).verdict is Verdict.KEEP


def test_a_collapse_that_was_there_before_is_held():
    empty = GOOD | {"empty_frames": 1.0, "coverage": 0.0}
    assert gate(empty, empty).verdict is Verdict.HOLD


@given(st.sampled_from(RULES), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_worse_is_never_judged_better(rule, before, now, much_worse):
    if rule.worsening == "change":
        return
    order = list(Verdict)
    worse = now + much_worse if rule.worsening in ("rise", "growth", "leap") else now - much_worse
    first, second = (gate({rule.measure: before}, {rule.measure: value}, [rule]) for value in (now, worse))
    assert order.index(second.verdict) >= order.index(first.verdict)


def measured(masks, flow, previous):
    found = shares(masks)
    return {
        "empty_frames": found.empty_frames,
        "coverage": found.coverage,
        "agreement_previous": agreement(masks, previous),
        "flow_consistency": flow_consistency(masks, flow),
    }


def test_masks_of_something_else_are_rolled_back_though_most_channels_are_empty():
    masks, flow = np.zeros((8, 3, 32, 56), bool), np.zeros((8, 4, 32, 56), np.float32)
    masks[:, 0, 8:20, 5:17] = True
    elsewhere = np.roll(masks, 28, axis=3)
    decision = gate(measured(masks, flow, masks), measured(elsewhere, flow, masks))
    assert decision.verdict is Verdict.ROLL_BACK and "agreement_previous" in decision.reasons[0]


def test_faults_in_masks_reach_the_verdict():
    masks, flow = np.zeros((8, 2, 32, 56), bool), np.zeros((8, 4, 32, 56), np.float32)
    for t in range(8):
        masks[t, 0, 8:20, 5 + 2 * t : 17 + 2 * t] = True
        flow[t, 0][masks[t, 0]], flow[t, 2][masks[t, 0]] = 2, -2
    healthy = {name: value for name, value in measured(masks, flow, masks).items() if value is not None}
    flicker, still, full = masks.copy(), masks.copy(), masks.copy()
    flicker[::2] = False
    still[:] = masks[0]
    full[:, 0] = True
    faults = {"empty": np.zeros_like(masks), "full": full, "flicker": flicker, "still": still}
    for name, fault in faults.items():
        current = {key: value for key, value in measured(fault, flow, masks).items() if value is not None}
        assert gate(healthy, current).verdict is Verdict.ROLL_BACK, name
    assert gate(healthy, healthy).verdict is Verdict.KEEP
