"""A shared network learns the foreground of many clips, and a clip network that starts from it knows it at once."""

import numpy as np
import pytest
import torch

from motion_adapt.models.adaptation.clip_network import Segmented, fit_clip_network, foreground_iou, started
from motion_adapt.models.adaptation.shared_network import MOST_FRAMES, FramesOfClips, fit_shared_network
from motion_adapt.models.networks.checkpoints import Checkpoint, build_network
from motion_adapt.models.networks.lineage import TrainedOn, trainings_of
from motion_adapt.models.training.course import Course

HEIGHT, WIDTH, FRAMES = 32, 64, 8


def a_clip(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright square that moves on dark, noisy ground: frames u8 (T, H, W, 3), masks f16 (T, 3, H, W) in channel 1."""
    rng = np.random.default_rng(seed)
    rgb = rng.integers(30, 90, (FRAMES, HEIGHT, WIDTH, 3)).astype(np.uint8)
    masks = np.zeros((FRAMES, 3, HEIGHT, WIDTH), np.float16)
    row, column, size = rng.integers(2, 14), rng.integers(2, 30), rng.integers(10, 16)
    for t in range(FRAMES):
        masks[t, 1, row : row + size, column + 2 * t : column + 2 * t + size] = 1
        rgb[t][masks[t, 1] > 0] += 150
    return rgb, masks


@pytest.fixture(scope="module")
def shared() -> Checkpoint:
    return fit_shared_network([a_clip(seed) for seed in range(4)], Course(steps=60))


def iou(checkpoint: Checkpoint, rgb: np.ndarray, masks: np.ndarray) -> float:
    net = build_network(checkpoint, expect="clip-network")
    return foreground_iou(Segmented(net, rgb, [1.0]), masks)


def test_a_clip_that_it_never_saw_is_segmented_and_soon_learnt(shared: Checkpoint) -> None:
    # Means over clips, because ten steps on one clip can also lead away for a moment.
    clips = [a_clip(seed) for seed in (9, 10, 11)]
    before = np.mean([iou(shared, *clip) for clip in clips])
    assert before > 0.6
    from_shared, from_scratch = (
        np.mean([iou(fit_clip_network(*clip, Course(steps=10), start=start), *clip) for clip in clips])
        for start in (shared, None)
    )
    assert from_shared > max(before - 0.05, from_scratch + 0.2)


def test_a_start_divides_its_foreground_evenly_among_the_objects(shared: Checkpoint) -> None:
    rgb = torch.randn(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        given = build_network(shared, expect="clip-network")(rgb).softmax(dim=1)
        shares = started(shared, 3, motion=False)(rgb).softmax(dim=1)
    torch.testing.assert_close(shares[:, -1], given[:, -1])
    for k in range(3):
        torch.testing.assert_close(shares[:, k], given[:, 0] / 3)
    with pytest.raises(ValueError, match="network of one object"):
        started(fit_clip_network(*a_clip(0), Course(steps=1)), 2, motion=False)


def test_a_network_that_sees_motion_starts_from_one_that_does_not_and_the_other_way(
    shared: Checkpoint,
) -> None:
    seen = torch.randn(2, 4, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    rest = seen * torch.tensor([1, 1, 1, 0])[:, None, None]
    plain, moving = (started(shared, 1, motion=motion) for motion in (False, True))
    with torch.inference_mode():
        torch.testing.assert_close(moving(seen), plain(seen[:, :3]))
    torch.nn.init.normal_(moving.get_parameter("down.0.0.weight"))
    learnt = Checkpoint("clip-network", {"network": moving.arguments}, moving.state_dict())
    assert build_network(learnt, expect="clip-network").motion
    with torch.inference_mode():
        assert not torch.allclose(moving(seen), moving(rest), atol=1e-3)
        torch.testing.assert_close(started(learnt, 1, motion=False)(seen[:, :3]), moving(rest))


def test_recipes_name_what_they_started_from(shared: Checkpoint) -> None:
    further = fit_shared_network([a_clip(5)], Course(steps=1), start=shared)
    own = fit_clip_network(*a_clip(5), Course(steps=1), start=further)
    kinds = [training.on for training in trainings_of(own.settings)]
    assert kinds == [TrainedOn.MASKS_OF_ONE_CLIP, TrainedOn.MASKS_OF_CLIPS, TrainedOn.MASKS_OF_CLIPS]
    assert [training.from_scratch for training in trainings_of(own.settings)] == [False, False, True]


def test_a_step_sees_as_many_clips_as_it_can_and_memory_is_bounded() -> None:
    def plain(value: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full((count, 32, 32, 3), value, np.uint8), np.zeros((count, 2, 32, 32), np.float16)

    batches = FramesOfClips([plain(60 * index, MOST_FRAMES // 2) for index in range(4)], batch=4)
    assert sum(len(rgb) for rgb, _ in batches.clips) <= MOST_FRAMES
    seen = {rgb.ravel()[0] for rgb, _ in batches.clips}
    assert seen == {0, 60, 120, 180}
    drawn = batches(0, np.random.default_rng(0))
    assert drawn["seen"].shape == (4, 3, 32, 32) and drawn["target"].shape == (4, 2, 32, 32)
    assert FramesOfClips([plain(0, 3)], batch=4)(0, np.random.default_rng(0))["seen"].shape[0] == 4
    with pytest.raises(ValueError, match="at least one"):
        fit_shared_network([], Course(steps=1))
