"""Clips with no motion, little motion or only camera motion are distinguished from those that the method can handle."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH
from motion_adapt.models.inputs.motion_check import measure_motion
from motion_adapt.models.inputs.still_frames import without_camera


def clip(step: float, *, pan: int = 0, frames: int = 6) -> list[np.ndarray]:
    """Return a textured square that moves `step` pixels per frame over a textured background that moves `pan`."""
    rng = np.random.default_rng(0)
    ground, thing = (
        gaussian_filter(rng.normal(size=(HEIGHT, WIDTH + 40, 3)), (2, 2, 0)) * 250 + 128 for _ in range(2)
    )
    made = []
    for index in range(frames):
        frame = ground[:, index * pan : index * pan + WIDTH].copy()
        left = 60 + round(step * index)
        frame[40:80, left : left + 40] = thing[40:80, :40]
        made.append(np.clip(frame, 0, 255).astype(np.uint8))
    return made


def test_a_moving_object_is_measured() -> None:
    motion = measure_motion(clip(4))
    assert motion.moving == 1 and not motion.hardly_any and not motion.slow
    assert motion.speed == pytest.approx(4, abs=1)
    assert motion.better_gap == 1


def test_nothing_moves_or_only_the_camera() -> None:
    for frames in (clip(0), clip(-3, pan=3)):  # a square that moves with the background is part of it
        motion = measure_motion(frames)
        assert motion.moving == 0 and motion.hardly_any
        assert motion.better_gap == 5


def test_slow_motion_suggests_a_larger_gap() -> None:
    frames = clip(1 / 2, frames=12)[::1]
    slow = measure_motion(frames, gap=1)
    assert slow.slow and slow.better_gap > 1
    fast = measure_motion(frames, gap=6)
    assert fast.gap == 6 and not fast.slow and fast.better_gap == 6


def test_the_camera_is_taken_out_of_the_flow() -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    camera = np.stack([3 + 0.02 * x - 0.01 * y, -1 + 0.015 * x + 0.03 * y], axis=-1)
    flow = camera.copy()
    flow[20:60, 30:80] += (5, 0)
    left = without_camera(flow)
    np.testing.assert_allclose(left[20:60, 30:80], np.broadcast_to((5, 0), (40, 50, 2)), atol=1e-4)
    assert np.abs(left[70:]).max() < 1e-4


def test_short_clips_and_wrong_sizes() -> None:
    assert measure_motion(clip(4, frames=2), gap=3).gap == 1
    with pytest.raises(ValueError, match="at least two frames"):
        measure_motion(clip(4, frames=1))
    with pytest.raises(ValueError, match=r"wanted u8 \(128, 224, 3\)"):
        measure_motion([np.zeros((10, 10, 3), np.uint8)] * 3)
