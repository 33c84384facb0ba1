"""The clip network learns what the masks of a clip have in common, and its training is a function of its recipe."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from motion_adapt.models.adaptation.clip_network import (
    FASTER,
    MOST_FRAMES,
    ClipFrames,
    Mean,
    Segmented,
    as_seen,
    changed_frame,
    fit_clip_network,
    foreground_iou,
    with_background,
)
from motion_adapt.models.inputs.imaging import normalise_rgb
from motion_adapt.models.inputs.own_speed import UNIT, WithSpeed
from motion_adapt.models.networks.checkpoints import Checkpoint, build_network
from motion_adapt.models.networks.clip_network import object_probabilities
from motion_adapt.models.training.course import Course

HEIGHT, WIDTH, FRAMES = 32, 64, 12


def a_clip() -> tuple[np.ndarray, np.ndarray]:
    """A red square and a green one that move on a grey, noisy ground; u8 frames and the true masks, (T, 2, H, W)."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(90, 130, (FRAMES, HEIGHT, WIDTH, 3)).astype(np.uint8)
    masks = np.zeros((FRAMES, 2, HEIGHT, WIDTH), bool)
    for t in range(FRAMES):
        masks[t, 0, 4:16, t : t + 14] = True
        masks[t, 1, 18:28, 30 - t : 42 - t] = True
        rgb[t][masks[t, 0]] = 200, 40, 40
        rgb[t][masks[t, 1]] = 40, 200, 40
    return rgb, masks


def fit(steps: int, course: Course | None = None, seed: int = 0) -> Checkpoint:
    rgb, masks = a_clip()
    return fit_clip_network(rgb, masks.astype(np.float16), course or Course(steps=steps, seed=seed))


def segmented(checkpoint: Checkpoint, rgb: np.ndarray) -> np.ndarray:
    net = build_network(checkpoint, expect="clip-network")
    return Segmented(net, rgb, [1.0])[0 : len(rgb)]


@pytest.fixture(scope="module")
def taught_by_broken_masks() -> tuple[Checkpoint, np.ndarray]:
    """A clip network, and the masks that it learnt: a third of each frame, another one each time, shows nothing."""
    rgb, broken = a_clip()
    rng = np.random.default_rng(1)
    for t in range(FRAMES):
        start = int(rng.integers(0, WIDTH - 16))
        broken[t, :, :, start : start + 16] = False
    return fit_clip_network(rgb, broken.astype(np.float16), Course(steps=120), batch=4), broken


def test_it_finds_whole_objects_though_every_mask_lacks_a_piece(
    taught_by_broken_masks: tuple[Checkpoint, np.ndarray],
) -> None:
    made, broken = taught_by_broken_masks
    rgb, truth = a_clip()
    found = segmented(made, rgb)
    assert foreground_iou(broken, truth) < 0.75
    assert foreground_iou(found, truth) > 0.85


class _Killed(Exception):
    pass


def test_a_killed_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    straight = fit(6)

    def kill(step: int, _: dict[str, float]) -> None:
        if step == 3:
            raise _Killed

    course = Course(steps=6, state=tmp_path / "state.pt", checkpoint_every=2, on_step=kill)
    with pytest.raises(_Killed):
        fit(6, course)
    went_on = fit(6, replace(course, on_step=None))
    assert went_on.settings == straight.settings
    for name, tensor in straight.tensors.items():
        assert torch.equal(tensor, went_on.tensors[name]), name
    other = fit(6, seed=1)
    assert not torch.equal(other.tensors["out.weight"], straight.tensors["out.weight"])


def test_every_second_size_shows_the_mirror_image() -> None:
    net, (rgb, _) = build_network(fit(2), expect="clip-network"), a_clip()
    turned = np.ascontiguousarray(rgb[:, :, ::-1])

    plain, mirrored = Segmented(net, rgb, [1])[0:4], Segmented(net, turned, [1])[0:4][..., ::-1]
    assert np.abs(plain - mirrored).max() > 1e-3
    in_turn = Segmented(net, rgb, [1, 1])[0:4]
    np.testing.assert_allclose(in_turn[::2], plain[::2], atol=1e-6)
    np.testing.assert_allclose(in_turn[1::2], mirrored[1::2], atol=1e-6)


def test_frames_are_seen_at_several_sizes_in_turn(
    taught_by_broken_masks: tuple[Checkpoint, np.ndarray],
) -> None:
    rgb, truth = a_clip()
    net = build_network(taught_by_broken_masks[0], expect="clip-network")
    sizes = 1.0, 1.5, 2.0
    alone = [Segmented(net, rgb, [size])[:] for size in sizes]
    assert all(found.shape == truth.shape for found in alone)
    assert all(foreground_iou(found, truth) > 0.7 for found in alone)
    assert np.abs(alone[0] - alone[2]).max() > 0.1
    turned = np.ascontiguousarray(rgb[:, :, ::-1])
    alone[1] = Segmented(net, turned, [1.5])[:][..., ::-1]  # every second size shows the mirror image
    wanted = np.stack([alone[t % 3][t] for t in range(FRAMES)])
    in_turn = Segmented(net, rgb, sizes)
    np.testing.assert_allclose(in_turn[:], wanted, atol=1e-5)
    # whatever is read at once
    np.testing.assert_allclose(in_turn[4:7], wanted[4:7], atol=1e-5)
    np.testing.assert_allclose(in_turn[11:], wanted[11:], atol=1e-5)
    np.testing.assert_allclose(in_turn[[1, 5, 9]], wanted[[1, 5, 9]], atol=1e-5)


def test_the_likeliest_object_has_the_probability_of_the_foreground() -> None:
    logits = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    found, shares = object_probabilities(logits), logits.softmax(dim=1)
    torch.testing.assert_close(found.amax(dim=1), 1 - shares[:, -1])
    assert torch.equal(found.argmax(dim=1), shares[:, :-1].argmax(dim=1))


def test_frame_and_mask_are_changed_together() -> None:
    image = np.zeros((HEIGHT, WIDTH), np.float32)
    image[10:20, 8:30] = 1
    shown = np.repeat((image[..., None] * 200).astype(np.uint8), 3, axis=2)
    for seed in range(20):
        rgb, target = changed_frame(shown, image[None], np.random.default_rng(seed))
        assert rgb.shape == (3, HEIGHT, WIDTH) and rgb.dtype == np.float32
        assert 0 < target.mean() < 1 and not np.array_equal(target[0], image)
        for colour in rgb:
            assert np.corrcoef(colour.ravel(), target.ravel())[0, 1] > 0.999


def test_the_speed_moves_with_the_frame_and_is_sometimes_hidden() -> None:
    shown = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    shown[10:20, 8:30, 3] = UNIT
    target = (shown[..., 3] > 0).astype(np.float32)
    hidden = 0
    for seed in range(50):
        seen, moved = changed_frame(shown, target[None], np.random.default_rng(seed))
        colours, _ = changed_frame(shown[..., :3], target[None], np.random.default_rng(seed))
        assert seen.shape == (4, HEIGHT, WIDTH) and np.array_equal(seen[:3], colours)
        if not seen[3].any():
            hidden += 1
            continue
        low, high = FASTER
        assert low - 0.01 <= seen[3].max() <= high + 0.01
        assert np.abs(seen[3] / seen[3].max() - moved[0]).max() < 0.02
    assert 0.05 < hidden / 50 < 0.4
    as_it_is = as_seen(shown[None])
    torch.testing.assert_close(as_it_is[:, 3], torch.from_numpy(target)[None])
    torch.testing.assert_close(as_it_is[:, :3], normalise_rgb(shown[None, ..., :3]))


def test_of_two_that_look_alike_it_finds_the_one_that_moves() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(90, 130, (FRAMES, HEIGHT, WIDTH, 3)).astype(np.uint8)
    masks = np.zeros((FRAMES, 1, HEIGHT, WIDTH), np.float16)
    flow = np.zeros((FRAMES, 4, HEIGHT, WIDTH), np.float32)
    for t in range(FRAMES):
        first, second = rng.permutation([(2, 4), (2, 40), (18, 22)])[:2]
        for row, column in (first, second):
            rgb[t, row : row + 12, column : column + 14] = 200, 40, 40
        row, column = first  # this one moves
        masks[t, 0, row : row + 12, column : column + 14] = 1
        flow[t, :, row : row + 12, column : column + 14] = np.array([3, 1, -3, -1])[:, None, None]
    course = Course(steps=200)
    plain, moving = (
        foreground_iou(segmented(fit_clip_network(frames, masks, course, batch=4), frames), masks)
        for frames in (rgb, WithSpeed(rgb, flow)[:])
    )
    assert moving > 0.8 > plain + 0.2


def test_targets_are_shares_of_objects_and_background() -> None:
    given = np.random.default_rng(0).random((3, 2, 4, 5), np.float32)
    shares = with_background(given)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(shares[:, -1], 1 - given.max(axis=1), rtol=1e-6)
    np.testing.assert_allclose(shares[:, 0] * given[:, 1], shares[:, 1] * given[:, 0], rtol=1e-5)
    np.testing.assert_array_equal(with_background(np.zeros((1, 2, 1, 1), np.float32))[0, :, 0, 0], [0, 0, 1])


def test_a_long_clip_is_learnt_from_some_of_its_frames() -> None:
    rgb = np.zeros((2 * MOST_FRAMES, 4, 4, 3), np.uint8)
    rgb[:, 0, 0, 0], rgb[:, 0, 0, 1] = np.arange(len(rgb)) // 256, np.arange(len(rgb)) % 256
    batches = ClipFrames(rgb, np.zeros((len(rgb), 1, 4, 4), np.float16), batch=4)
    used = batches.frames[:, 0, 0, 0].astype(int) * 256 + batches.frames[:, 0, 0, 1]
    assert len(used) == MOST_FRAMES and used[0] == 0 and used[-1] == len(rgb) - 1
    assert set(np.diff(used)) <= {1, 2, 3}


def test_agreement_counts_the_pixels_of_all_frames_together() -> None:
    first, second = np.zeros((2, 40, 2, 4, 4), np.float32)
    assert foreground_iou(first, second) == 1
    first[0, 0], second[0, 1], second[39, 0] = 0.6, 0.9, 0.7  # which object it is does not count
    assert foreground_iou(first, second) == 0.5
    np.testing.assert_allclose(Mean(first, second)[39:40][0, 0], 0.35)
