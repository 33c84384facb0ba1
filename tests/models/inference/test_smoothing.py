"""Smoothing along the flow: an average over what can be seen, the same whichever way a clip is read."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motion_adapt.models.inference.smoothing import smooth
from motion_adapt.models.quality.measures import correspond

HEIGHT, WIDTH = 12, 20


def a_clip(seed: int, count: int, objects: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and flow of a clip in which some pixels can be followed and others can't."""
    rng = np.random.default_rng(seed)
    flow = rng.normal(0, 0.6, (count, 4, 1, 1)) + rng.normal(0, 0.4, (count, 4, HEIGHT, WIDTH))
    return rng.random((count, objects, HEIGHT, WIDTH), np.float32), flow.astype(np.float32)


def smoothed(probabilities: np.ndarray, flow: np.ndarray, **options: float) -> np.ndarray:
    return np.stack(list(smooth(probabilities, flow, **options)))  # type: ignore[arg-type]


def carried(image: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Bilinear interpolation, written out; places outside the image are nothing."""
    left, top = np.floor(columns).astype(int), np.floor(rows).astype(int)
    found = np.zeros_like(image)
    for down, right in itertools.product((0, 1), (0, 1)):
        y, x = top + down, left + right
        share = (1 - abs(rows - y)) * (1 - abs(columns - x))
        inside = (y >= 0) & (y < HEIGHT) & (x >= 0) & (x < WIDTH)
        found += np.where(inside, share * image[y.clip(0, HEIGHT - 1), x.clip(0, WIDTH - 1)], 0)
    return found


def by_the_formula(
    probabilities: np.ndarray, flow: np.ndarray, iterations: int, weight: float, gap: int
) -> np.ndarray:
    """All frames at once."""
    now = probabilities
    for _ in range(iterations):
        after = np.empty_like(now)
        for t in range(len(now)):
            total, count = probabilities[t].copy(), np.ones((HEIGHT, WIDTH))
            for other, there, back in (
                (t + gap, slice(0, 2), slice(2, 4)),
                (t - gap, slice(2, 4), slice(0, 2)),
            ):
                if 0 <= other < len(now):
                    visible, columns, rows = correspond(flow[t, there], flow[other, back])
                    count += weight * visible
                    total += weight * visible * [carried(image, columns, rows) for image in now[other]]
            after[t] = total / count
        now = after
    return now


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99),
    count=st.integers(1, 9),
    iterations=st.integers(0, 4),
    weight=st.sampled_from([0.0, 0.5, 2.0]),
    gap=st.integers(1, 4),
)
def test_frame_by_frame_as_all_at_once(
    seed: int, count: int, iterations: int, weight: float, gap: int
) -> None:
    clip = a_clip(seed, count)
    found = smoothed(*clip, iterations=iterations, weight=weight, gap=gap)
    wanted = by_the_formula(*clip, iterations, weight, gap)
    np.testing.assert_allclose(found, wanted, atol=0.02)  # OpenCV interpolates in steps of 1/32 pixel
    assert found.min() >= 0 and found.max() <= 1 + 1e-6


@pytest.mark.parametrize("gap", [1, 2])
def test_a_clip_backwards_is_smoothed_backwards(gap: int) -> None:
    probabilities, flow = a_clip(3, 7)
    backwards = smoothed(probabilities[::-1], flow[::-1, [2, 3, 0, 1]], gap=gap)
    np.testing.assert_allclose(backwards[::-1], smoothed(probabilities, flow, gap=gap), atol=1e-5)


def test_frames_are_read_as_they_are_needed_and_those_far_away_change_nothing() -> None:
    probabilities, flow = a_clip(4, 200)

    class Counted:
        shape, read = probabilities.shape, 0

        def __getitem__(self, key: slice) -> np.ndarray:
            self.read = max(self.read, key.stop)
            return probabilities[key]

    counted = Counted()
    first = next(smooth(counted, flow, iterations=5, gap=2))
    assert counted.read <= 5 * 2 + 1 + 16
    np.testing.assert_array_equal(first, smoothed(probabilities[:11], flow[:11], iterations=5, gap=2)[0])
    assert not np.array_equal(first, smoothed(probabilities[:9], flow[:9], iterations=5, gap=2)[0])


def test_a_moving_object_that_one_frame_missed_is_there_again() -> None:
    truth = np.zeros((9, 1, HEIGHT, WIDTH), np.float32)
    for t in range(9):
        truth[t, 0, 3:8, t + 2 : t + 8] = 1
    flow = np.zeros((9, 4, HEIGHT, WIDTH), np.float32)
    flow[:, 0], flow[:, 2] = 1, -1
    missed = truth.copy()
    missed[4] = 0
    np.testing.assert_array_equal(smoothed(missed, flow) > 0.5, truth > 0.5)


def test_what_is_hidden_in_the_neighbours_keeps_its_own_probability() -> None:
    probabilities = np.zeros((3, 1, HEIGHT, WIDTH), np.float32)
    probabilities[1] = 0.75
    flow = np.zeros((3, 4, HEIGHT, WIDTH), np.float32)
    flow[1, 0, :, 10:], flow[1, 2, :, 10:] = 4, 4  # the way there is not the way back
    found = smoothed(probabilities, flow)
    assert (found[1, 0, :, 10:] == 0.75).all() and (found[1, 0, :, :10] < 0.5).all()


def test_a_frame_apart_keeps_its_own_and_gives_nothing_to_others() -> None:
    probabilities, flow = a_clip(5, 7)
    apart = np.arange(7) == 3
    found = smoothed(probabilities, flow, apart=apart)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found[3], probabilities[3])
    np.testing.assert_array_equal(found[:3], smoothed(probabilities[:3], flow[:3]))
    np.testing.assert_array_equal(found[4:], smoothed(probabilities[4:], flow[4:]))


def test_wrong_arguments_are_named() -> None:
    probabilities, flow = a_clip(0, 3)
    with pytest.raises(ValueError, match=r"flow: wanted \(3, 4, 12, 20\)"):
        smooth(probabilities, flow[:, :2])
    with pytest.raises(ValueError, match=r"gap of 1 or more, got 10, 2\.0 and 0"):
        smooth(probabilities, flow, gap=0)
