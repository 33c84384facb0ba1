"""Each clip has its own threshold: the one whose masks end where colour or motion changes, and fit each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from motion_adapt.models.inference.edges import follow_edges
from motion_adapt.models.inference.threshold import CONSISTENCY, THRESHOLDS, choose_threshold, with_threshold

FRAMES, HEIGHT, WIDTH = 4, 32, 48
INSIDE = (slice(None), slice(8, 24), slice(16, 32))  # the object, of every frame
CORE = (slice(None), slice(9, 23), slice(17, 31))  # what networks are sure of
AROUND = (slice(None), slice(8, 24), slice(16, 33))  # a little of the ground beside it
HOW = {"iterations": 1, "own": 1e4}  # hardly averages


def a_clip(rim: float, around: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A dark object on bright ground, its flow, and probabilities of the object's rim and of the ground beside it."""
    rgb = np.full((FRAMES, HEIGHT, WIDTH, 3), 200, np.uint8)
    rgb[INSIDE] = 40
    probabilities = np.full((FRAMES, HEIGHT, WIDTH), 0.02, np.float32)
    probabilities[AROUND], probabilities[INSIDE], probabilities[CORE] = around, rim, 0.9
    return rgb, np.zeros((FRAMES, 4, HEIGHT, WIDTH), np.float16), probabilities[:, None]


@pytest.mark.parametrize(
    ("rim", "around", "lowest", "highest"),
    [
        (0.9, 0.1, 0.5, 0.5),  # the border is right already
        (0.43, 0.1, 0.35, 0.4),  # too little was found
        (0.9, 0.52, 0.55, 0.65),  # too much
    ],
)
def test_masks_end_where_the_colour_changes(rim: float, around: float, lowest: float, highest: float) -> None:
    clip = a_clip(rim, around)
    threshold, fit, known = choose_threshold(*clip, **HOW)
    assert lowest <= threshold <= highest
    assert fit == pytest.approx(1 + CONSISTENCY, abs=0.01)
    found = np.stack([with_threshold(frame, threshold) for frame in follow_edges(*clip, known=known, **HOW)])
    np.testing.assert_array_equal([*known.values()], [*follow_edges(*clip, **HOW)])
    wanted = np.zeros((FRAMES, HEIGHT, WIDTH), bool)
    wanted[INSIDE] = True
    np.testing.assert_array_equal(found[:, 0] > 0.5, wanted)
    assert threshold == 0.5 or fit > choose_threshold(*clip, thresholds=[0.5], **HOW).fit


def test_motion_counts_as_well() -> None:
    rgb, flow, probabilities = a_clip(0.43, 0.1)
    rgb[:] = 200
    assert (
        choose_threshold(rgb, flow, probabilities, **HOW).threshold == 0.5
    )  # no border is better than another
    flow[:, 0, *INSIDE[1:]], flow[:, 2, *INSIDE[1:]] = 6.0, -6.0
    assert choose_threshold(rgb, flow, probabilities, gap=2, **HOW).threshold < 0.43


def test_masks_fit_the_next_frame() -> None:
    rgb, flow, probabilities = a_clip(0.9, 0.52)
    rgb[:] = 200
    probabilities[1::2] = a_clip(0.9, 0.47)[2][1::2]  # at 0.5 every second mask is smaller
    assert choose_threshold(rgb, flow, probabilities, **HOW).threshold != 0.5


def test_an_object_is_not_lost_for_sharper_borders() -> None:
    rgb, flow, probabilities = a_clip(0.9, 0.1)
    rgb[:, 8:11, 2:5] = 190  # a small thing of almost the ground's colour
    probabilities[:, 0, 8:11, 2:5] = 0.52
    assert choose_threshold(rgb, flow, probabilities, **HOW).threshold == 0.5


def test_specks_count_little_in_how_well_masks_fit() -> None:
    rgb, flow, probabilities = a_clip(0.9, 0.1)
    sharp = choose_threshold(rgb, flow, probabilities, thresholds=[0.5], **HOW).fit
    # 24 pixels that end nowhere in the picture, beside an object of 256
    probabilities[:, 0, 1:31:4, 36:47:4] = 0.9
    specked = choose_threshold(rgb, flow, probabilities, thresholds=[0.5], **HOW).fit
    assert sharp is not None and specked is not None
    # by the length of their borders they would cost more than half
    assert specked == pytest.approx(1 + CONSISTENCY - 24 / 280, abs=0.02)


def test_masks_in_all_frames_fit_better_than_sharper_ones_in_few() -> None:
    rgb, flow, probabilities = a_clip(0.9, 0.52)
    wide = choose_threshold(rgb, flow, probabilities, thresholds=[0.5], **HOW).fit
    few = a_clip(0.9, 0.1)[2]
    few[1:] = 0.02
    sharp = choose_threshold(rgb, flow, few, thresholds=[0.5], **HOW).fit
    assert wide is not None and sharp is not None and wide > 2 * sharp


def test_most_of_the_foreground_stays() -> None:
    rgb, flow, probabilities = a_clip(0.9, 0.1)
    probabilities[:, 0, 8:24, 2:15] = 0.52  # another thing without a border of its own, beside the sharp one
    probabilities[:, 0, 8:24, 15] = 0.52
    assert choose_threshold(rgb, flow, probabilities, **HOW).threshold == 0.5


def test_masks_by_hand_do_not_choose() -> None:
    rgb, flow, probabilities = a_clip(0.43, 0.1)
    fixed = np.array([True, False, False, True])
    probabilities[fixed] = 1.0
    assert choose_threshold(rgb, flow, probabilities, fixed=fixed, **HOW).threshold < 0.43
    assert choose_threshold(rgb, flow, probabilities, fixed=np.ones(FRAMES, np.bool_)) == (0.5, None, {})


def test_a_clip_without_objects_or_neighbours_keeps_one_half() -> None:
    rgb, flow, probabilities = a_clip(0.43, 0.1)
    assert choose_threshold(rgb, flow, probabilities * 0)[:2] == (0.5, None)
    assert choose_threshold(rgb[:1], flow[:1], probabilities[:1]) == (0.5, None, {})


@given(
    hnp.arrays(np.float32, 20, elements=st.floats(0, 1, width=32)),
    st.sampled_from(THRESHOLDS),
)
def test_the_threshold_becomes_one_half(probabilities: np.ndarray, threshold: float) -> None:
    moved = with_threshold(probabilities, threshold)
    assert moved.min() >= 0 and moved.max() <= 1
    clear = abs(probabilities - threshold) > 1e-6
    np.testing.assert_array_equal((moved > 0.5)[clear], (probabilities > threshold)[clear])
    order = np.argsort(probabilities)
    assert (np.diff(moved[order]) >= 0).all()
    np.testing.assert_array_equal(with_threshold(np.float32([0, 1]), threshold), [0, 1])
