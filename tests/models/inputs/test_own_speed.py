"""How fast pixels move by themselves, beside the frames' colours."""

import numpy as np
import pytest

from motion_adapt.models.inputs.own_speed import UNIT, WithSpeed, own_speed

HEIGHT, WIDTH, FRAMES = 64, 112, 5


def flow_of(speed: float, noise: float = 0.0) -> np.ndarray:
    """Flow of a camera that zooms and pans past an object, which covers a tenth of the frame: f32 (T, 4, H, W)."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    ahead = np.stack([4 * x + 3, 3 * y - 2])
    ahead[:, 20:40, 30:66] += np.array([0.6, 0.8])[:, None, None] * speed
    flow = np.tile(np.concatenate([ahead, -ahead]), (FRAMES, 1, 1, 1))
    return (flow + noise * np.random.default_rng(0).standard_normal(flow.shape)).astype(np.float32)


def test_only_the_object_has_a_speed_of_its_own() -> None:
    speed = own_speed(flow_of(5.0))
    assert speed.shape == (FRAMES, HEIGHT, WIDTH) and speed.dtype == np.float32
    np.testing.assert_allclose(speed[:, 20:40, 30:66], 5, atol=0.1)
    assert speed[:, 44:].max() < 0.1


@pytest.mark.parametrize("speed", [2.0, 20.0])
def test_the_clips_fast_pixels_have_one_unit_however_fast_they_are(speed: float) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3)).astype(np.uint8)
    seen = WithSpeed(rgb, flow_of(speed))
    assert seen.shape == (FRAMES, HEIGHT, WIDTH, 4)
    whole = seen[:]
    assert whole.dtype == np.uint8 and np.array_equal(whole[..., :3], rgb)
    np.testing.assert_allclose(whole[:, 22:38, 32:64, 3], UNIT, atol=2)
    assert np.array_equal(seen[1:3], whole[1:3]) and np.array_equal(seen[[0, 4]], whole[[0, 4]])


def test_noise_of_a_clip_in_which_nothing_moves_stays_small() -> None:
    rgb = np.zeros((FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    assert WithSpeed(rgb, flow_of(0.0, noise=0.1))[:][..., 3].mean() < UNIT / 4
    assert not WithSpeed(rgb, np.zeros((FRAMES, 4, HEIGHT, WIDTH), np.float16))[:][..., 3].any()
