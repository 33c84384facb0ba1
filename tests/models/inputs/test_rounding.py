import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from motion_adapt.models.inputs.rounding import (
    rounded_flow,
    rounded_frames,
    rounded_probabilities,
    rounded_tokens,
)


def finite(least: float, most: float) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float32, (3, 4), elements=st.floats(least, most, width=32))


def test_levels_of_frames_are_off_by_at_most_two_or_three_at_white() -> None:
    levels = np.arange(256, dtype=np.uint8)
    found = rounded_frames(levels)
    assert found.dtype == np.uint8 and set(found) == set(range(0, 253, 4))
    off = found.astype(int) - levels
    assert (abs(off[:255]) <= 2).all() and off[255] == -3
    np.testing.assert_array_equal(rounded_frames(found), found)


@given(finite(-500, 500))
def test_flow_is_off_by_at_most_a_32nd_of_a_pixel(flow: np.ndarray) -> None:
    found = rounded_flow(flow).astype(np.float64)
    # half of a step of 16-bit numbers, which is longer than 1/16 beyond 128 pixels
    half = np.abs(found) * 2.0**-11
    assert (np.abs(found - flow) <= np.maximum(1 / 32, half + 1 / 32)).all()


@given(finite(0, 1))
def test_probabilities_are_off_by_at_most_a_64th_and_stay_in_range(probabilities: np.ndarray) -> None:
    found = rounded_probabilities(probabilities).astype(np.float64)
    assert (np.abs(found - probabilities) <= 1 / 64).all()
    assert ((found >= 0) & (found <= 1)).all()


@given(finite(-6e4, 6e4))
def test_tokens_are_off_by_at_most_a_32nd_of_themselves(tokens: np.ndarray) -> None:
    found = rounded_tokens(tokens).astype(np.float64)
    smallest = 2.0**-24  # of 16-bit numbers
    assert (np.abs(found - tokens) <= np.maximum(np.abs(tokens) / 32, smallest)).all()


@pytest.mark.parametrize(
    ("rounded", "scale", "share"),
    [(rounded_flow, 3.0, 0.7), (rounded_probabilities, 0.2, 0.45), (rounded_tokens, 1.0, 0.7)],
)
def test_what_is_rounded_is_smaller_and_rounding_again_changes_nothing(
    rounded: Callable[[np.ndarray], np.ndarray], scale: float, share: float
) -> None:
    values = np.abs(np.random.default_rng(0).normal(0, scale, (4, 3, 32, 56))).clip(
        0, 1 if scale < 1 else None
    )
    found = rounded(values)
    assert found.dtype == np.float16
    assert len(zlib.compress(found.tobytes())) < share * len(
        zlib.compress(values.astype(np.float16).tobytes())
    )
    np.testing.assert_array_equal(rounded(found), found)
