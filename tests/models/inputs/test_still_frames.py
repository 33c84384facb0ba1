"""Frames in which nothing moves apart from the camera are told from those that the proposals can work with."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from motion_adapt.models.inputs.flow import stream_flow
from motion_adapt.models.inputs.flow_estimators import flow_estimator
from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH, resize_frames
from motion_adapt.models.inputs.rounding import rounded_flow, rounded_frames
from motion_adapt.models.inputs.still_frames import (
    BLANK,
    LEARNT,
    MATCHED,
    MOVING,
    STILL,
    frame_kinds,
    stretches,
)


def texture(seed: int) -> np.ndarray:
    """A picture, f64 (200, 320, 3), with detail at several scales."""
    rng = np.random.default_rng(seed)
    layers = [gaussian_filter(rng.normal(size=(200, 320, 3)), (s, s, 0)) * 60 * s for s in (1.5, 6)]
    return np.clip(128 + sum(layers), 0, 255)


GROUND, THING = texture(0), texture(1)


def cropped(picture: np.ndarray, transform: np.ndarray | None = None) -> np.ndarray:
    """The middle of a picture after an affine transform."""
    if transform is not None:
        picture = cv2.warpAffine(picture, transform, (320, 200), borderMode=cv2.BORDER_REFLECT)
    return picture[36:-36, 48:-48]


def moving(count: int, speed: float = 4) -> list[np.ndarray]:
    """A square that moves by `speed` pixels a frame."""
    frames = []
    for index in range(count):
        frame = GROUND.copy()
        left = 80 + round(speed * index)
        frame[80:120, left : left + 40] = THING[:40, :40]
        frames.append(cropped(frame))
    return frames


def noisy(frames: list[np.ndarray], grain: float = 6, seed: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [frame + rng.normal(0, grain, frame.shape) for frame in frames]


def compressed(frames: list[np.ndarray], quality: int) -> list[np.ndarray]:
    """The frames as JPEGs of that quality."""
    small = [np.clip(frame, 0, 255).astype(np.uint8) for frame in frames]
    parts = [cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for frame in small]
    return [cv2.imdecode(part, cv2.IMREAD_COLOR) for part in parts]


def shifted(step: float) -> np.ndarray:
    return np.array([[1, 0, step], [0, 1, step / 3]])


def kinds(frames: list[np.ndarray], gap: int = 1) -> list[int]:
    clip = np.stack([np.clip(frame, 0, 255).astype(np.uint8) for frame in frames])
    parts = stream_flow(clip, gap=gap, estimator=flow_estimator("dis"))
    flow = rounded_flow(np.concatenate([part for _, part in parts]))
    return list(frame_kinds(flow, rounded_frames(resize_frames(clip, HEIGHT, WIDTH)), gap))


STILL_CLIPS = {
    "one picture": [cropped(GROUND)] * 4,
    "noise": noisy([cropped(GROUND)] * 4),
    "flicker": [cropped(GROUND) * gain for gain in (1, 0.9, 1.05, 0.95)],
    "fading in": [cropped(GROUND) * gain for gain in (0.2, 0.4, 0.7, 1)],
    "pan": noisy([cropped(GROUND, shifted(4 * index)) for index in range(4)], 2),
    "zoom": [cropped(GROUND, cv2.getRotationMatrix2D((160, 100), 0, 1 + 0.02 * index)) for index in range(4)],
    "turn": [cropped(GROUND, cv2.getRotationMatrix2D((160, 100), index, 1)) for index in range(4)],
    "cut": [cropped(GROUND)] * 2 + [cropped(THING)] * 2,
}


@pytest.mark.parametrize("name", STILL_CLIPS)
def test_a_still_picture_and_a_moving_camera_show_no_motion(name: str) -> None:
    assert kinds(STILL_CLIPS[name]) == [STILL] * 4


@pytest.mark.parametrize(("grain", "quality"), [(8, 10), (12, 10), (12, 20)])
def test_noise_that_was_compressed_hard_shows_no_motion(grain: float, quality: int) -> None:
    large = cv2.resize(cropped(GROUND), None, fx=2, fy=2)
    found = [kinds(compressed(noisy([large] * 8, grain, seed), quality)) for seed in range(3)]
    assert sum(clip.count(STILL) for clip in found) >= 0.9 * 3 * 8


@pytest.mark.parametrize(("speed", "quality"), [(1.5, 20), (2, 10), (4, 10)])
def test_slow_motion_that_was_compressed_hard_counts(speed: float, quality: int) -> None:
    large = [cv2.resize(frame, None, fx=2, fy=2) for frame in noisy(moving(8, speed), 2)]
    assert kinds(compressed(large, quality)).count(MOVING) >= 7


def test_a_thing_that_goes_to_and_fro_counts() -> None:
    there = moving(2)
    assert kinds(there * 3) == [MOVING] * 6
    assert kinds(noisy(there * 3, 4)) == [MOVING] * 6


@pytest.mark.parametrize("level", [0, 255, 90])
def test_uniform_frames_show_nothing_and_those_after_them_do(level: int) -> None:
    empty = [np.full((128, 224, 3), float(level))] * 3
    assert kinds(noisy(empty, 2) + moving(4)) == [BLANK] * 3 + [MOVING] * 4
    assert kinds(empty) == [BLANK] * 3
    nearly_black = np.linspace(0, 2, 224).repeat(3).reshape(1, 224, 3) * np.ones((128, 1, 1))
    assert kinds([nearly_black] * 3) == [BLANK] * 3


@pytest.mark.parametrize("gap", [1, 2])
def test_a_thing_that_moves_counts_in_noise_and_before_a_moving_camera(gap: int) -> None:
    assert kinds(noisy(moving(6)), gap) == [MOVING] * 6
    panned = [frame[:, 4 * index : 4 * index + 190] for index, frame in enumerate(moving(6))]
    assert kinds([frame[:, ::-1].copy() for frame in panned], gap) != [STILL] * 6


def test_frames_at_rest_within_a_clip() -> None:
    frames = moving(3)
    assert kinds(frames + [frames[-1]] * 3) == [MOVING] * 3 + [STILL] * 3
    twice = [frame for frame in moving(4) for _ in range(2)]  # every frame doubled: each moves on one side
    assert kinds(twice)[1:-1] == [MOVING] * 6


def test_smooth_flow_that_is_wider_than_the_object_counts_if_a_network_made_it() -> None:
    clip = np.stack([np.clip(frame, 0, 255).astype(np.uint8) for frame in moving(3)])
    small = resize_frames(clip, HEIGHT, WIDTH)
    parts = stream_flow(clip, gap=1, estimator=flow_estimator("dis"))
    flow = np.concatenate([part for _, part in parts]).astype(np.float32)
    for channel in (0, 2):  # to the right, and back to the left
        sign = 1 if channel == 0 else -1
        for index in range(3):
            wide = cv2.dilate(sign * flow[index, channel], np.ones((9, 9)))
            flow[index, channel] = 0.7 * sign * cv2.GaussianBlur(wide, (21, 21), 0)
    assert list(frame_kinds(flow, small, 1, MATCHED)) == [STILL] * 3
    assert list(frame_kinds(flow, small, 1, LEARNT)) == [MOVING] * 3
    assert list(frame_kinds(0 * flow, small, 1, LEARNT)) == [STILL] * 3


def test_stretches() -> None:
    assert stretches(np.array([1, 1, 0, 1, 0, 0, 1, 1, 1], bool)) == [(0, 1), (3, 3), (6, 8)]
    assert stretches(np.zeros(3, bool)) == []
