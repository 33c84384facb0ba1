"""Frames are spread evenly over a clip."""

from hypothesis import given
from hypothesis import strategies as st

from motion_adapt.models.inputs.readable import spread


@given(st.integers(1, 500), st.integers(1, 9))
def test_frames_are_spread_from_end_to_end(count: int, most: int) -> None:
    chosen = spread(count, most)
    assert len(chosen) == min(count, most) and chosen == sorted(set(chosen))
    assert chosen[0] == 0 and (most == 1 or chosen[-1] == count - 1)
