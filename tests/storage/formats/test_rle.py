"""COCO's run-length code: strings worked out by hand, and every mask comes back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from motion_adapt.storage.formats.rle import decode, encode, pack, unpack


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ([4], "4"),  # one group: 48 + 4
        ([0, 9], "09"),
        ([15], "?"),
        ([16], "`0"),  # bit 5 set is the sign: a second, empty group must follow. 48 + 16 + 32, then 48
        ([32], "P1"),  # low five bits 0, more: 48 + 32; then 1
        ([1023], "oo0"),  # 31 and 31 with more, then 0 to keep it positive
        ([5, 2, 3, 4], "5232"),  # 4 as 4 - 2
        ([5, 9, 3, 4], "593K"),  # 4 - 9 = -5: 27 in two's complement, 48 + 27
        ([6, 1, 40, 2], "61X11"),  # 40: 8 with more, 1; then 2 as 2 - 1
    ],
)
def test_strings_worked_out_by_hand(counts: list[int], text: str) -> None:
    assert pack(counts) == text
    assert unpack(text) == counts


def test_pixels_go_down_the_columns_background_first() -> None:
    mask = np.array([[0, 1, 1], [1, 1, 0]])  # columns: 0 1, 1 1, 1 0
    assert encode(mask) == pack([1, 4, 1]) == "141"
    assert encode(np.ones((3, 3))) == "09"
    assert encode(np.zeros((2, 2))) == "4"
    np.testing.assert_array_equal(decode("141", (2, 3)), mask.astype(bool))


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_every_mask_comes_back(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(decode(encode(mask), mask.shape), mask)


@given(st.lists(st.integers(0, 10**7), max_size=12))
def test_all_counts_come_back(counts: list[int]) -> None:
    assert unpack(pack(counts)) == counts


@pytest.mark.parametrize(
    ("text", "said"),
    [("4!", "'!' is no character"), ("P", "cut short"), ("5", "wanted 4 pixels"), ("593K", "runs")],
)
def test_what_is_no_code_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode(text, (2, 2))


def test_only_masks_are_encoded() -> None:
    with pytest.raises(ValueError, match=r"wanted \(H, W\)"):
        encode(np.zeros((2, 2, 3)))
