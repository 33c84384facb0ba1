"""J, F and the statistics against the official numbers, and properties that hold for any mask."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from motion_adapt.models.scoring.metrics import (
    boundary,
    contour_similarity,
    region_similarity,
    statistics,
    tolerance,
)
from tests.models.reference_metrics import TOLERANCE, folder, packed_masks, rows

masks = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(lambda size: arrays(bool, size))
mask_pairs = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(
    lambda size: st.tuples(arrays(bool, size), arrays(bool, size))
)


def test_every_golden_pair():
    golden = folder("MOTION_ADAPT_METRICS")
    mask = packed_masks(golden / "binary_masks.npz")
    pairs = rows(golden / "binary_pairs.csv")
    assert len(pairs) == 115
    for pair in pairs:
        truth, predicted = mask(pair["gt"]), mask(pair["pred"])
        void = mask(pair["void"]) if pair["void"] else None
        assert tolerance(*truth.shape) == int(pair["radius"])
        assert region_similarity(truth, predicted, void) == pytest.approx(float(pair["J"]), abs=TOLERANCE), (
            pair
        )
        assert contour_similarity(truth, predicted, void) == pytest.approx(float(pair["F"]), abs=TOLERANCE), (
            pair
        )
        clear = truth if void is None else truth & ~void
        assert boundary(clear.view(np.uint8)).sum() == int(pair["gt_boundary"])


def test_statistics_of_published_methods():
    golden = json.loads((folder("MOTION_ADAPT_METRICS") / "statistics_davis16.json").read_text())
    per_method: dict[str, list[tuple[float, float, float]]] = {}
    for row in golden["rows"]:
        got = statistics(np.array(row["values"]))
        assert got == pytest.approx((row["mean"], row["recall"], row["decay"]), abs=TOLERANCE)
        per_method.setdefault(f"{row['method']}/{row['measure']}", []).append(got)
    for name, clips in per_method.items():
        for statistic, value in zip(("mean", "recall", "decay"), np.mean(clips, axis=0), strict=True):
            assert value == pytest.approx(golden["table_means"][f"{name}/{statistic}/these10"], abs=TOLERANCE)


def test_statistics_of_short_and_ragged_rows():
    for row in json.loads((folder("MOTION_ADAPT_METRICS") / "statistics_synthetic.json").read_text()):
        values, wanted = (
            np.array([math.nan if v is None else v for v in numbers], dtype=float)
            for numbers in (row["values"], (row["mean"], row["recall"], row["decay"]))
        )
        got = statistics(values)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=TOLERANCE, err_msg=str(row))


def test_decay_of_a_clip_longer_than_a_byte_counts():
    assert statistics(np.linspace(1, 0, 300)).decay == pytest.approx(0.7492, abs=1e-4)


def test_full_frame_has_no_boundary():
    full, empty = np.ones((40, 60), bool), np.zeros((40, 60), bool)
    assert region_similarity(full, empty) == 0 and contour_similarity(full, empty) == 1
    assert region_similarity(empty, empty) == 1


def test_an_object_cut_by_the_frame_has_no_boundary_there():
    mask = np.zeros((10, 10), np.uint8)
    mask[:, :4] = 1
    assert boundary(mask).sum(axis=0).tolist() == [0, 0, 0, 10, 0, 0, 0, 0, 0, 0]


def test_the_disk_of_tolerance_is_round():
    truth, far, near = (np.zeros((480, 854), bool) for _ in range(3))
    truth[200, 200] = far[200 + 6, 200 + 6 + 2] = near[200 + 5, 200 + 5] = True
    assert contour_similarity(truth, near) == 1
    assert contour_similarity(truth, far) < 1


def test_void_pixels_count_nowhere():
    truth, mask, void = (np.zeros((20, 20), bool) for _ in range(3))
    truth[:10], mask[:15], void[10:] = True, True, True
    assert region_similarity(truth, mask) == pytest.approx(2 / 3)
    assert region_similarity(truth, mask, void) == 1


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r"\(4, 5\).*\(5, 4\)"):
        region_similarity(np.zeros((4, 5), bool), np.zeros((5, 4), bool))
    with pytest.raises(ValueError, match="n >= 1"):
        statistics(np.array([]))


@given(mask_pairs)
def test_both_measures_are_symmetric_shares(pair):
    truth, mask = pair
    for measure in (region_similarity, contour_similarity):
        assert 0 <= measure(truth, mask) <= 1
        assert measure(truth, mask) == pytest.approx(measure(mask, truth), abs=1e-12)


@given(masks)
def test_a_mask_fits_itself(mask):
    assert region_similarity(mask, mask) == contour_similarity(mask, mask) == 1


@given(mask_pairs)
def test_f_is_what_its_definition_says(pair):
    truth, mask = pair
    radius = tolerance(*truth.shape)
    edges = [np.argwhere(boundary(m.view(np.uint8))) for m in pair]
    if not len(edges[0]) or not len(edges[1]):
        wanted = float(len(edges[0]) == len(edges[1]))
    else:
        near = ((edges[0][:, None] - edges[1][None]) ** 2).sum(axis=-1) <= radius**2
        recall, precision = near.any(axis=1).mean(), near.any(axis=0).mean()
        wanted = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    assert contour_similarity(truth, mask) == pytest.approx(wanted, abs=1e-12)
