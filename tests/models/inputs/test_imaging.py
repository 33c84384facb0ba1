import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motion_adapt.models.inputs import imaging

sizes = st.integers(4, 40)


@given(st.integers(0, 10**6), sizes, sizes, sizes, sizes)
def test_disjoint_masks_stay_disjoint_and_labels_are_theirs(
    seed: int, h: int, w: int, H: int, W: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, (2, h, w)).astype(np.uint8)
    masks = imaging.masks_from_labels(labels, 3)
    assert np.array_equal(imaging.labels_from_masks(masks), labels)
    resized = imaging.resize_masks(masks, H, W)
    assert resized.shape == (2, 3, H, W) and resized.sum(axis=1).max() <= 1
    assert np.array_equal(imaging.native_labels(masks, H, W), imaging.labels_from_masks(resized))
    assert np.array_equal(imaging.native_labels(masks, h, w), labels)


@given(st.integers(0, 10**6), sizes, sizes)
def test_uniform_flow_keeps_its_direction_in_the_new_pixels(seed: int, H: int, W: int) -> None:
    u, v = np.random.default_rng(seed).normal(size=2).astype(np.float32)
    flow = np.broadcast_to(np.array([u, v], np.float32), (1, 10, 20, 2))
    resized = imaging.resize_flow(flow, H, W)
    np.testing.assert_allclose(resized, np.broadcast_to([u * W / 20, v * H / 10], (1, H, W, 2)), rtol=1e-4)


def test_a_tensor_is_normalised_like_an_array_where_it_is() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 12, 3), dtype=np.uint8)
    normalised = imaging.normalise_rgb(torch.from_numpy(frames))
    assert torch.equal(normalised, imaging.normalise_rgb(frames))
    assert normalised.is_contiguous(memory_format=torch.channels_last)  # as all networks were trained


def test_normalised_frames_have_the_references_statistics() -> None:
    frames = np.full((2, 4, 6, 3), 255, np.uint8)
    rgb = imaging.normalise_rgb(frames[:, ::-1])  # a view with negative strides
    assert rgb.shape == (2, 3, 4, 6) and rgb.dtype == torch.float32
    expected = (1 - torch.tensor(imaging.RGB_MEAN)) / torch.tensor([0.228, 0.224, 0.225])
    torch.testing.assert_close(rgb[1, :, 2, 3], expected)


def test_the_most_probable_object_wins_if_it_is_likely_enough() -> None:
    probabilities = np.array([[0.6, 0.7], [0.5, 0.4], [0.6, 0.6], [np.nan, 0.9]], np.float32)
    hard = imaging.hard_masks(probabilities.reshape(4, 2, 1, 1))[:, :, 0, 0]
    assert hard.tolist() == [[False, True], [False, False], [True, False], [False, False]]


def test_probabilities_place_borders_between_the_pixels_of_the_working_resolution() -> None:
    rows, columns = np.mgrid[:96, :160]
    circles = [np.hypot(rows - 41, columns - 40.5) < 27, np.hypot(rows - 52, columns - 110) < 30]
    soft = np.stack(
        [cv2.resize(c.astype(np.float32), (40, 24), interpolation=cv2.INTER_AREA) for c in circles]
    )[None]
    truth = circles[0] + 2 * circles[1].astype(np.uint8)
    fine, coarse = (imaging.native_labels(found, 96, 160)[0] for found in (soft, imaging.hard_masks(soft)))
    assert (fine != truth).sum() < 0.7 * (coarse != truth).sum()


def test_a_pixel_between_two_objects_is_the_more_probable_ones() -> None:
    probabilities = np.array([[0.9, 0.1], [0.0, 1.0]], np.float16).reshape(1, 2, 1, 2)
    assert imaging.native_labels(probabilities, 1, 8).tolist() == [[[1, 1, 1, 1, 2, 2, 2, 2]]]
    assert not imaging.native_labels(probabilities * np.float16(0.5), 1, 8).any()


def test_overlapping_masks_go_to_the_first_object() -> None:
    assert imaging.labels_from_masks(np.ones((1, 3, 2, 2), bool)).max() == 1


def test_empty_clips_pass() -> None:
    assert imaging.native_labels(np.zeros((0, 3, 4, 4), bool), 8, 8).shape == (0, 8, 8)
    assert imaging.resize_frames(np.zeros((0, 4, 4, 3), np.uint8), 8, 8).shape == (0, 8, 8, 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: imaging.resize_frames(np.zeros((1, 4, 4, 4), np.uint8), 8, 8),
        lambda: imaging.normalise_rgb(np.zeros((1, 4, 4, 3), np.float32)),
        lambda: imaging.resize_flow(np.zeros((1, 4, 4, 3), np.float32), 8, 8),
        lambda: imaging.resize_masks(np.zeros((1, 4, 4), np.uint8), 8, 8),
        lambda: imaging.labels_from_masks(np.zeros((1, 256, 1, 1), bool)),
    ],
)
def test_wrong_arrays_are_refused(call) -> None:
    with pytest.raises(ValueError, match="wanted"):
        call()
