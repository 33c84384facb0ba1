"""Training batches for OCLR: mirrored clips stay consistent, pools repeat, flow is in pixels of 128 x 224."""

import numpy as np
import pytest

from motion_adapt.models.pretraining.oclr_batches import EstimatedPool, OclrBatches, mirrored, shrink
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips

CLIPS = SyntheticClips(seed=3, size=(32, 56), frames=4)


class Always:
    """A random generator whose draws always mean yes, or always no."""

    def __init__(self, yes):
        self.value = 0.0 if yes else 1.0

    def random(self):
        return self.value


def test_mirrored_flow_is_that_of_the_mirrored_clip():
    """Warping by the mirrored clip's flow gives the same as warping by the clip's flow and then mirroring."""
    clip = CLIPS.make(0)
    flow = clip.flow(1)
    turned, masks = mirrored(Always(True), flow, clip.amodal)
    assert np.array_equal(masks, clip.amodal[::-1, :, ::-1, ::-1])
    # frame 1 of the turned clip is frame 2: forward flow becomes backward flow, and both axes are reversed
    np.testing.assert_array_equal(turned[1, :2], -flow[2, 2:, ::-1, ::-1])
    np.testing.assert_array_equal(turned[1, 2:], -flow[2, :2, ::-1, ::-1])
    same, _ = mirrored(Always(False), flow, clip.amodal)
    np.testing.assert_array_equal(same, flow)


def test_motion_without_painting_is_the_same_motion():
    painted, bare = CLIPS.make(5), CLIPS.make(5, paint=False)
    assert painted.rgb.any() and not bare.rgb.any()
    np.testing.assert_array_equal(painted.flow(1), bare.flow(1))
    np.testing.assert_array_equal(painted.amodal, bare.amodal)


def test_a_pool_estimates_a_clip_once_and_at_its_own_scale():
    pool, asked = EstimatedPool(CLIPS, 1), []
    make, pool.pool.make = pool.pool.make, lambda number: asked.append(number) or make(number)
    (flow, masks), (again, _) = (pool.draw(np.random.default_rng(0), 4) for _ in range(2))
    assert asked == [0] and np.array_equal(flow, again)
    assert flow.shape == (4, 4, 32, 56) and flow.dtype == np.float32 and masks.shape == (4, 3, 32, 56)


def test_a_pool_has_flow_in_pixels_of_the_working_size():
    """The flow is compared with the exact flow of the same clip; the frames are twice 128 x 224 and shrunk by half."""
    pool = EstimatedPool(CLIPS, 1)
    ratios = []
    for number in (0, 1, 5):  # gap 1
        found = pool.make(number)["flow"]
        clip = CLIPS.at_size((256, 448)).make(number, paint=False)
        exact = shrink(clip.flow(1) / 2, 8)
        moving = np.abs(exact) > 2
        ratios.append(found[moving] / exact[moving])
    assert np.concatenate(ratios).size > 1000
    assert 0.8 < np.median(np.concatenate(ratios)) < 1.25


def test_shrunk_flow_keeps_its_values():
    flow = np.full((2, 4, 8, 16), 3.5, np.float32)
    assert np.array_equal(shrink(flow, 2), flow[..., ::2, ::2])


@pytest.mark.parametrize("kind", ["exact", "noisy", "mixed", "dis"])
def test_a_step_sees_clips_of_one_length_and_their_masks(kind):
    batches = OclrBatches(CLIPS, 2, kind, EstimatedPool(CLIPS, 1))
    batch = batches(0, np.random.default_rng(0))
    frames = batch["flow"].shape[1]
    assert 2 <= frames <= 4
    assert batch["flow"].shape == (2, frames, 4, 32, 56) and batch["flow"].dtype == np.float32
    assert batch["amodal"].shape == (2, frames, 3, 32, 56) and batch["amodal"].dtype == bool


def test_exact_flow_is_that_of_the_clips_in_pixels_of_the_working_size():
    batch = OclrBatches(CLIPS, 1, "exact", EstimatedPool(CLIPS, 1))(0, np.random.default_rng(1))
    frames = batch["flow"].shape[1]
    clip = CLIPS.make(0, frames=frames, paint=False)
    found = [
        gap for gap in (1, 2) if gap <= frames // 2 and np.array_equal(batch["flow"][0], 4 * clip.flow(gap))
    ]
    assert found
