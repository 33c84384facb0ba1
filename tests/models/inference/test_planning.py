from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_adapt.models.inference.planning import (
    chunks,
    exemplar_marks,
    exemplar_table,
    exemplars,
    nearest_that_shows,
    parts,
    windows,
)

lengths = st.integers(1, 400)


@given(lengths, st.integers(1, 40), st.integers(0, 39))
def test_chunks_cover_all_frames_with_their_overlap(n: int, size: int, overlap: int) -> None:
    overlap = min(overlap, size - 1)
    ranges = chunks(n, size, overlap)
    assert ranges[0][0] == 0 and ranges[-1][1] == n
    assert all(stop - start == min(size, n) for start, stop in ranges)
    for (a, b), (c, d) in pairwise(ranges):
        assert a < c and b < d and b - c >= overlap
    assert all(b - c == overlap for (_, b), (c, _) in pairwise(ranges[:-1]))


@given(lengths, st.integers(1, 10))
def test_windows_are_chunks_without_overlap(n: int, size: int) -> None:
    assert [(w[0], w[-1] + 1) for w in windows(n, size)] == chunks(n, size, 0)


@given(lengths, st.integers(1, 10))
def test_even_windows_are_as_few_and_no_longer_than_it_takes(n: int, size: int) -> None:
    even, full = windows(n, size, even=True), windows(n, size)
    assert len(even) == len(full) and even.shape[1] <= size
    assert set(even.flat) == set(range(n))
    assert len(even) * (even.shape[1] - 1) < n


@pytest.mark.parametrize(
    ("shows", "nearest"),
    [
        ([True, True], [0, 1]),
        ([False, False, True], [2, 2, 2]),
        ([True, False, True, False, False], [0, 0, 2, 2, 2]),  # the earlier of two
        ([False, False], [0, 1]),
    ],
)
def test_the_nearest_part_that_shows_an_object(shows: list[bool], nearest: list[int]) -> None:
    assert nearest_that_shows(shows) == nearest


@given(st.integers(1, 2000), st.integers(0, 300), st.integers(2, 300))
def test_parts_are_a_partition(n: int, limit: int, target: int) -> None:
    ranges = parts(n, limit, target)
    assert [frame for start, stop in ranges for frame in range(start, stop)] == list(range(n))
    assert all(start < stop for start, stop in ranges)
    if n <= limit:
        assert ranges == [(0, n)]
    else:
        assert max(stop - start for start, stop in ranges) <= 1.25 * target


def test_davis_is_never_cut() -> None:
    assert parts(104) == [(0, 104)]
    assert parts(180) == [(0, 90), (90, 180)]
    assert parts(255) == [(0, 85), (85, 170), (170, 255)]


def test_a_small_remainder_goes_to_the_last_part_and_a_large_one_is_spread() -> None:
    assert parts(200) == [(0, 66), (66, 132), (132, 200)]
    assert [stop - start for start, stop in parts(199, 20, 20)] == [19, 20, 20, 20, 20, 20, 20, 20, 20, 20]


@given(st.data(), st.integers(1, 30), st.integers(1, 4), st.integers(1, 12))
def test_exemplars_are_the_best_usable_frames(data: st.DataObject, T: int, K: int, t: int) -> None:
    draw = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    errors = draw.integers(0, 5, (T, K)).astype(np.float32)  # ties are likely
    usable = draw.random((T, K)) < data.draw(st.sampled_from([0.0, 0.3, 1.0]))
    table = exemplars(errors, usable, t)
    for k, row in enumerate(table):
        chosen = row[row >= 0]
        assert (row[len(chosen) :] == -1).all()
        candidates = np.flatnonzero(usable[:, k]) if usable[:, k].any() else np.arange(T)
        assert len(chosen) == min(t, len(candidates)) and set(chosen) <= set(candidates)
        assert (np.diff(chosen) > 0).all()
        for other in set(candidates) - set(chosen):
            assert all((errors[c, k], c) < (errors[other, k], other) for c in chosen)
    marks = exemplar_marks(table, T)
    assert np.array_equal(exemplar_table(marks), table)


@pytest.mark.parametrize(
    "call",
    [
        lambda: chunks(0),
        lambda: chunks(10, 5, 5),
        lambda: parts(0),
        lambda: exemplars(np.zeros((0, 3)), np.zeros((0, 3), bool)),
        lambda: exemplars(np.zeros((2, 3)), np.zeros((3, 2), bool)),
        lambda: exemplars(np.full((2, 3), np.nan), np.ones((2, 3), bool)),
    ],
)
def test_nonsense_is_refused(call) -> None:
    with pytest.raises(ValueError):
        call()
