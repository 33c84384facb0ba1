"""Masks follow edges: an average over pixels that look and move alike, the same in every direction."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motion_adapt.models.inference.edges import (
    DISTANCES,
    follow_edges,
    follow_edges_of_frame,
    follow_fine_edges_of_frame,
)
from motion_adapt.models.inputs.imaging import native_labels

HEIGHT, WIDTH = 18, 30


def a_frame(seed: int, objects: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A frame of few colours, its flow and probabilities."""
    rng = np.random.default_rng(seed)
    rgb = rng.integers(100, 115, (HEIGHT, WIDTH, 3), np.uint8)
    flow = rng.normal(0, 0.5, (2, HEIGHT, WIDTH)).astype(np.float32)
    return rgb, flow, rng.random((objects, HEIGHT, WIDTH), np.float32)


def by_the_formula(
    rgb: np.ndarray,
    flow: np.ndarray,
    given: np.ndarray,
    iterations: int,
    colour: float,
    motion: float,
    own: float,
) -> np.ndarray:
    """Pixel by pixel."""
    steps = {(d * y, d * x) for d in DISTANCES for y in (-1, 0, 1) for x in (-1, 0, 1)} - {(0, 0)}
    looks, moves = rgb / 255 / colour, flow / motion
    found = given
    for _ in range(iterations):
        after = np.empty_like(given)
        for y, x in np.ndindex(HEIGHT, WIDTH):
            total, weight = own * given[:, y, x], own
            for down, right in steps:
                there = y + down, x + right
                if 0 <= there[0] < HEIGHT and 0 <= there[1] < WIDTH:
                    apart = ((looks[y, x] - looks[there]) ** 2).sum()
                    apart += ((moves[:, y, x] - moves[:, *there]) ** 2).sum()
                    total, weight = total + np.exp(-apart / 2) * found[:, *there], weight + np.exp(-apart / 2)
            after[:, y, x] = total / weight
        found = after
    return found


@settings(max_examples=5, deadline=None)
@given(
    seed=st.integers(0, 99),
    iterations=st.integers(0, 2),
    colour=st.sampled_from([0.02, 0.1]),
    motion=st.sampled_from([0.3, 2.0]),
    own=st.sampled_from([0.1, 1.0]),
)
def test_all_pixels_at_once_as_pixel_by_pixel(
    seed: int, iterations: int, colour: float, motion: float, own: float
) -> None:
    frame = a_frame(seed)
    found = follow_edges_of_frame(*frame, iterations=iterations, colour=colour, motion=motion, own=own)
    np.testing.assert_allclose(found, by_the_formula(*frame, iterations, colour, motion, own), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), rows=st.sampled_from([1, -1]), columns=st.sampled_from([1, -1]))
def test_a_mirrored_frame_has_mirrored_masks_between_the_least_and_the_most_given(
    seed: int, rows: int, columns: int
) -> None:
    rgb, flow, probabilities = a_frame(seed)
    found = follow_edges_of_frame(rgb, flow, probabilities)
    turn = (slice(None), slice(None, None, rows), slice(None, None, columns))
    np.testing.assert_allclose(
        follow_edges_of_frame(rgb[turn[1:]], flow[turn], probabilities[turn]), found[turn], atol=1e-5
    )
    assert probabilities.min() - 1e-6 <= found.min() and found.max() <= probabilities.max() + 1e-6


def a_disk(radius: float) -> np.ndarray:
    y, x = np.mgrid[:128, :224]
    return np.hypot(y - 64, x - 100) < radius


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


@pytest.mark.parametrize("by", ["colour", "motion"])
def test_the_border_of_a_mask_moves_to_where_colour_or_motion_changes(by: str) -> None:
    truth, rng = a_disk(30), np.random.default_rng(0)
    rgb = rng.normal(90, 4, (128, 224, 3)) + (60 * truth[..., None] if by == "colour" else 0)
    flow = np.stack([2.0 * truth if by == "motion" else 0 * truth, 0 * truth])
    wide = np.where(a_disk(34), 0.8, 0.1).astype(np.float32)[None]
    found = follow_edges_of_frame(rgb.clip(0, 255).astype(np.uint8), flow, wide)
    assert iou(wide[0] > 0.5, truth) < 0.8
    assert iou(found[0] > 0.5, truth) > 0.99


def test_channels_are_averaged_apart_and_those_without_an_object_stay_empty() -> None:
    rgb, flow, probabilities = a_frame(1, objects=3)
    probabilities[1] = 0
    found = follow_edges_of_frame(rgb, flow, probabilities)
    assert not found[1].any()
    for k in (0, 2):
        np.testing.assert_array_equal(found[k], follow_edges_of_frame(rgb, flow, probabilities[[k]])[0])


def test_a_clip_frame_by_frame_with_the_flow_of_one_frame_and_masks_that_stay() -> None:
    frames = [a_frame(seed) for seed in range(20)]
    rgb, ahead, probabilities = (np.stack(parts) for parts in zip(*frames, strict=True))
    flow = np.concatenate([3 * ahead, 0 * ahead], axis=1)
    fixed = np.arange(20) == 17
    found = list(follow_edges(rgb, flow, probabilities, gap=3, fixed=fixed, iterations=2))
    assert len(found) == 20
    for index, one in enumerate(found):
        alone = frames[index][2] if fixed[index] else follow_edges_of_frame(*frames[index], iterations=2)
        np.testing.assert_allclose(one, alone, atol=1e-6)


def test_only_what_is_around_the_objects_changes() -> None:
    rng = np.random.default_rng(0)
    rgb, flow = rng.integers(0, 255, (1, 128, 224, 3), np.uint8), rng.normal(size=(1, 4, 128, 224))
    given = np.where(a_disk(20), 0.9, 0.05 * rng.random((128, 224))).astype(np.float32)[None, None]
    (found,), whole = follow_edges(rgb, flow, given), follow_edges_of_frame(rgb[0], flow[0, :2], given[0])
    assert np.abs(found - whole).max() < 0.05 and ((found > 0.5) == (whole > 0.5)).all()
    changed = np.flatnonzero((found != given[0]).any(axis=(0, 1)))  # columns
    assert changed[0] >= 100 - 20 - 24 and changed[-1] <= 100 + 20 + 24
    empty = np.full((1, 1, 128, 224), 0.1, np.float32)
    np.testing.assert_array_equal(next(follow_edges(rgb, flow, empty)), empty[0])


def shown(objects: np.ndarray, like: np.ndarray) -> np.ndarray:
    return native_labels(objects[None], *like.shape)[0] > 0


def test_the_border_of_a_mask_moves_to_a_border_that_only_the_native_frame_shows() -> None:
    y, x = np.mgrid[:480, :854]
    angle = np.arctan2(y - 240, x - 400)
    truth = np.hypot(y - 240, x - 400) < 100 + 12 * np.sin(16 * angle)
    rgb = (np.random.default_rng(0).normal(90, 4, (480, 854, 3)) + 60 * truth[..., None]).astype(np.uint8)
    given = cv2.resize(truth.astype(np.float32), (224, 128), interpolation=cv2.INTER_AREA)
    given = cv2.GaussianBlur(given, (0, 0), 2)[None]
    found = follow_fine_edges_of_frame(rgb, np.zeros((2, 128, 224)), given, iterations=5)
    assert found.shape == (1, 256, 448) and found.min() >= 0 and found.max() <= 1
    assert iou(shown(given, truth), truth) < 0.94 < 0.97 < iou(shown(found, truth), truth)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 99))
def test_fine_edges_are_followed_around_the_objects_as_they_are_in_the_whole_frame(seed: int) -> None:
    rng = np.random.default_rng(seed)
    native, flow = rng.integers(0, 255, (360, 640, 3), np.uint8), rng.normal(size=(2, 128, 224))
    disk = cv2.GaussianBlur(a_disk(int(rng.integers(5, 70))).astype(np.float32), (0, 0), 1)
    found = follow_fine_edges_of_frame(native, flow, np.stack([0 * disk, disk]), iterations=3)
    enlarged = cv2.resize(disk, (448, 256), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    whole = follow_edges_of_frame(
        cv2.resize(native, (448, 256), interpolation=cv2.INTER_AREA),
        np.stack([cv2.resize(part, (448, 256)) for part in flow.astype(np.float32)]),
        enlarged[None],
        iterations=3,
        distances=(1, 2, 4),
    )
    assert not found[0].any()
    np.testing.assert_allclose(found[1], whole[0], atol=1e-6)


def test_wrong_arguments_are_named() -> None:
    rgb, flow, probabilities = a_frame(0)
    with pytest.raises(
        ValueError, match=r"of \(18, 30\) like the masks, got \(18, 29, 3\) and \(2, 18, 30\)"
    ):
        follow_edges_of_frame(rgb[:, 1:], flow, probabilities)
    with pytest.raises(ValueError, match=r"got 20, 0\.04, 0\.7 and 0"):
        follow_edges_of_frame(rgb, flow, probabilities, own=0)
