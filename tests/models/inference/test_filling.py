"""Masks of frames in between: a square of known motion is followed, and frames that have a mask keep it."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_adapt.models.inference.filling import fill_between
from motion_adapt.models.inputs.flow_estimators import flow_estimator

DIS = flow_estimator("dis")
HEIGHT, WIDTH, SIDE = 96, 160, 32


def textured(seed: int, height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def moving_squares(count: int, *, scale: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Two squares on a still background; one moves right by 3 pixels per frame, the other up by 2."""
    background = textured(0, HEIGHT, WIDTH)
    frames = np.stack([background] * count)
    labels = np.zeros((count, HEIGHT, WIDTH), np.uint8)
    for index in range(count):
        for label, top, left in ((1, 8, 10 + 3 * index), (3, 60 - 2 * index, 110)):
            inside = np.s_[index, top : top + SIDE, left : left + SIDE]
            frames[inside], labels[inside] = textured(label, SIDE, SIDE), label
    if scale > 1:
        frames = frames.repeat(scale, 1).repeat(scale, 2)
        labels = labels.repeat(scale, 1).repeat(scale, 2)
    return frames, labels


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize(("step", "scale"), [(2, 1), (4, 1), (3, 5)])
def test_squares_are_followed(step: int, scale: int) -> None:
    """At five times the size, the flow is estimated at a smaller one than the masks have."""
    count = 2 * step + 1
    frames, labels = moving_squares(count, scale=scale)
    filled = np.stack(list(fill_between(frames, labels[::step], step=step, estimator=DIS)))
    assert filled.shape == labels.shape and filled.dtype == np.uint8
    assert set(np.unique(filled)) == {0, 1, 3}
    for index in range(count):
        for label in (1, 3):
            assert iou(filled[index] == label, labels[index] == label) > 0.88, (index, label)
    assert iou(labels[0] == 1, labels[1] == 1) < 0.85, "without the flow, the test would fail"


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_frames_with_a_mask_keep_it_and_no_label_is_invented(step: int, spans: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    count = spans * step + 1
    frames = random.integers(0, 256, (count, 24, 32, 3), dtype=np.uint8)
    labels = random.integers(0, 4, (spans + 1, 24, 32), dtype=np.uint8) * random.integers(
        0, 2, dtype=np.uint8
    )
    filled = list(fill_between(frames, labels, step=step, estimator=DIS))
    assert len(filled) == count
    for index, found in enumerate(filled):
        if index % step == 0:
            np.testing.assert_array_equal(found, labels[index // step])
        near = labels[index // step : index // step + 2]
        assert set(np.unique(found)) <= {0, *np.unique(near).tolist()}


def test_an_object_on_one_side_alone_is_there_in_the_half_that_is_nearer() -> None:
    frames, labels = moving_squares(1)
    frames = np.repeat(frames, 5, 0)
    filled = list(fill_between(frames, [labels[0], np.zeros_like(labels[0])], step=4, estimator=DIS))
    assert iou(filled[1] == 1, labels[0] == 1) > 0.95
    assert not filled[3].any()


def test_no_more_frames_are_read_than_one_step_needs() -> None:
    frames, labels = moving_squares(9)
    read = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal read
        for frame in frames:
            read += 1
            yield frame

    for index, _ in enumerate(fill_between(counted(), labels[::2], step=2, estimator=DIS)):
        assert read <= index + 2


@pytest.mark.parametrize(
    ("frames", "maps", "step", "told"),
    [(5, 3, 0, "step"), (5, 2, 2, "got 2"), (4, 2, 2, "last one"), (3, 3, 2, "last one")],
)
def test_what_does_not_fit_is_refused(frames: int, maps: int, step: int, told: str) -> None:
    some = np.zeros((frames, 32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match=told):
        list(fill_between(some, np.zeros((maps, 32, 32), np.uint8), step=step, estimator=DIS))
    with pytest.raises(ValueError, match=r"wanted \(32, 32\)"):
        list(fill_between(some, np.zeros((maps, 16, 32), np.uint8), step=2, estimator=DIS))
