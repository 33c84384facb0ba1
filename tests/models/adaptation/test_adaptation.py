"""Adaptation to pseudo-labels: which frames are read and learnt from, and whether a killed run resumes."""

from dataclasses import replace

import numpy as np
import pytest

from motion_adapt.models.adaptation.adapt_corrector import (
    CorrectorClip,
    CorrectorClipBatches,
    adapt_corrector,
)
from motion_adapt.models.adaptation.finetune_oclr import OclrClip, OclrClipBatches, finetune_oclr
from motion_adapt.models.networks.checkpoints import tensors_digest
from motion_adapt.models.networks.corrector import MaskCorrector
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.models.pretraining.recipe import finished, fresh_network
from motion_adapt.models.training.course import Course

CORRECTOR = {"features": 4, "width": 16, "num_heads": 2, "num_layers": 1, "feature_channels": 5}
NETWORK = {"features": 4, "width": 32, "num_heads": 2, "num_layers": 1}
H, W, K = 32, 48, 3


class Recorded:
    """An array that records which frames are read."""

    def __init__(self, array):
        self.array, self.shape, self.read = array, array.shape, []

    def __getitem__(self, index):
        self.read.append(index)
        return self.array[index]


def moving_square(T):
    masks = np.zeros((T, K, H, W), bool)
    for t in range(T):
        masks[t, 0, 8:20, 4 + t : 20 + t] = True
    return masks


def corrector_clip(T=20, marks=((2, 0), (9, 0), (9, 1), (15, 0))):
    rng = np.random.default_rng(0)
    exemplars = np.zeros((T, K), bool)
    for frame, k in marks:
        exemplars[frame, k] = True
    masks = moving_square(T)
    return CorrectorClip(
        rgb=Recorded(rng.integers(0, 255, (T, H, W, 3), dtype=np.uint8)),
        tokens=Recorded(rng.standard_normal((T, H // 8, W // 8, 5)).astype(np.float16)),
        masks=Recorded(masks),
        scores=np.full((T, K), 1 / T, np.float32),
        exemplars=exemplars,
        corrected=Recorded(masks),
    )


def oclr_clip(T=12):
    masks = moving_square(T)
    flow = np.where(masks.any(1)[:, None], 3.0, 0.0).astype(np.float32).repeat(4, 1)
    return OclrClip(Recorded(flow), Recorded(masks))


@pytest.fixture(scope="module")
def corrector():
    return finished("corrector", fresh_network(MaskCorrector, CORRECTOR, 0), network=CORRECTOR, training={})


@pytest.fixture(scope="module")
def oclr():
    return finished("oclr", fresh_network(OCLR, NETWORK, 0), network=NETWORK, training={})


def test_a_window_holds_an_exemplar_and_the_memory_holds_all():
    clip = corrector_clip()
    batches = CorrectorClipBatches([clip], window=7, limit=104, target=100)
    for step in range(20):
        (episode,) = batches(step, np.random.default_rng(step))["episodes"]
        assert episode["supervised"].any() and len(episode["frames"]) == 7
        assert episode["frames"][0] >= 0 and episode["frames"][-1] < 20
        assert episode["table"].tolist() == [[2, 9, 15], [9, -1, -1], [-1, -1, -1]]
        np.testing.assert_array_equal(episode["exemplar_masks"][1, 0], clip.masks.array[9, 0])
        np.testing.assert_array_equal(episode["exemplar_tokens"][2, 0], clip.tokens.array[15])


def test_exemplars_come_from_the_part_of_the_window():
    clip = corrector_clip(T=20, marks=((1, 0), (3, 1), (12, 0), (18, 1)))
    batches = CorrectorClipBatches([clip], window=7, limit=10, target=7)  # parts such as 0-5, 6-11, 12-19
    seen = set()
    for step in range(30):
        (episode,) = batches(step, np.random.default_rng(step))["episodes"]
        used = episode["table"][episode["table"] >= 0]
        assert abs(used - episode["frames"][0]).max() <= 14
        seen.add(tuple(used))
    assert len(seen) >= 2


def test_no_frame_is_learnt_from_for_an_empty_channel_alone():
    clip = corrector_clip(marks=((2, 0), (9, 1), (15, 0)))  # channel 1 is empty
    before = clip.exemplars.copy()
    assert clip.centres.tolist() == [2, 15]
    np.testing.assert_array_equal(clip.exemplars, before)
    assert corrector_clip(marks=((9, 1),)).centres.tolist() == [9]


def test_short_clips_are_read_whole():
    batches = CorrectorClipBatches([corrector_clip(T=3, marks=((1, 0),))], window=7, limit=104, target=100)
    (episode,) = batches(0, np.random.default_rng(0))["episodes"]
    assert episode["frames"].tolist() == [0, 1, 2]
    stretch = OclrClipBatches([oclr_clip(12)], frames=5)(0, np.random.default_rng(0))
    assert stretch["flow"].shape == (1, 5, 4, H, W) and stretch["masks"].shape == (1, 5, K, H, W)
    mixed = OclrClipBatches([oclr_clip(12), oclr_clip(4)], frames=30, batch=6)(0, np.random.default_rng(0))
    assert mixed["flow"].shape == (6, 4, 4, H, W)


def test_clips_are_read_piece_by_piece():
    clip = corrector_clip(T=60, marks=((2, 0), (50, 0)))
    CorrectorClipBatches([clip], window=7, limit=104, target=100)(0, np.random.default_rng(0))
    frames = [len(range(60)[i]) if isinstance(i, slice) else len(i) for i in clip.tokens.read]
    assert sum(frames) == 7 + 2


def test_varied_samples_keep_flow_and_masks_together():
    clip, seen = oclr_clip(12), set()
    batches = OclrClipBatches([clip], frames=5, vary=True)
    for step in range(30):
        sample = batches(step, np.random.default_rng(step))
        moving = np.abs(sample["flow"][0]) > 0
        # The flow is where the square is.
        np.testing.assert_array_equal(moving.all(1), sample["masks"][0].any(1))
        speed = np.unique(np.abs(sample["flow"])).max()
        assert 3 / 1.5 < speed < 3 * 1.5
        seen.add((round(float(speed), 3), float(np.sign(sample["flow"]).sum())))
    assert len(seen) > 20


def test_a_share_of_the_steps_is_on_synthetic_clips(oclr):
    taken = []
    course = Course(steps=12, rate=1e-3, cool_down=True, on_step=lambda _, terms: taken.append(terms))
    made = finetune_oclr(oclr, [real_size_clip()], course, frames=4, vary=True, synthetic=0.5)
    synthetic = ["boundary" in terms for terms in taken]  # only true masks have borders to learn
    assert 2 < sum(synthetic) < 10
    rates = [terms["rate"] for terms in taken]
    assert rates[5] == 1e-3 and rates[6:] == sorted(rates[6:], reverse=True) and rates[-1] < 2e-4
    training = made.settings["training"]
    assert (training["synthetic"], training["vary"], training["cool_down"]) == (0.5, True, True)
    assert not {"synthetic", "vary", "cool_down"} & set(
        finetune_oclr(oclr, [oclr_clip()], Course(steps=1)).settings["training"]
    )


def real_size_clip():
    masks = np.zeros((4, K, 128, 224), bool)
    masks[:, 0, 32:80, 40:120] = True
    return OclrClip(np.where(masks.any(1)[:, None], 3.0, 0.0).astype(np.float32).repeat(4, 1), masks)


def losses_of(train, start, clips, steps):
    seen = []
    train(start, clips, Course(steps=steps, rate=3e-3, on_step=lambda _, terms: seen.append(terms["loss"])))
    return seen


@pytest.mark.parametrize("kind", ["corrector", "oclr"])
def test_adaptation_learns_repeats_and_continues(kind, request, tmp_path):
    start = request.getfixturevalue(kind)
    train, clips = {
        "corrector": (adapt_corrector, [corrector_clip()]),
        "oclr": (finetune_oclr, [oclr_clip()]),
    }[kind]
    losses = losses_of(train, start, clips, 30)
    assert np.mean(losses[-5:]) < np.mean(losses[:5])

    def killed(step, terms):
        if step == 5:
            raise KeyboardInterrupt

    course = Course(steps=8, checkpoint_every=2)
    whole = train(start, clips, course, batch=2, recipe={"clips": ["a"]})
    course = replace(course, state=tmp_path / "state.pt")
    with pytest.raises(KeyboardInterrupt):
        train(start, clips, replace(course, on_step=killed), batch=2, recipe={"clips": ["a"]})
    continued = train(start, clips, course, batch=2, recipe={"clips": ["a"]})
    assert tensors_digest(whole.tensors) == tensors_digest(continued.tensors) != tensors_digest(start.tensors)
    assert (
        whole.settings["training"]["clips"] == ["a"]
        and whole.settings["network"] == start.settings["network"]
    )
    with pytest.raises(ValueError, match="another run"):
        train(start, clips, course, batch=2, recipe={"clips": ["b"]})


def test_the_corrector_does_not_see_the_proposals(corrector):
    """Changing the proposals in frames that are not exemplars has no effect."""
    clip = corrector_clip()
    first = adapt_corrector(corrector, [clip], Course(steps=3))
    marked = clip.exemplars.any(1)
    clip.masks.array[~marked] = ~clip.masks.array[~marked]
    second = adapt_corrector(corrector, [clip], Course(steps=3))
    assert tensors_digest(first.tensors) == tensors_digest(second.tensors)


@pytest.mark.parametrize("network", ["corrector", "oclr"])
def test_training_in_16_bits_gives_nearly_the_same_losses(network, corrector, oclr):
    def losses(precision):
        found = []
        course = Course(steps=3, precision=precision, on_step=lambda _, terms: found.append(terms["loss"]))
        if network == "corrector":
            made = adapt_corrector(corrector, [corrector_clip()], course)
        else:
            made = finetune_oclr(oclr, [oclr_clip()], course)
        assert made.settings["training"]["precision"] == precision
        return np.array(found)

    whole, half = losses("float32"), losses("bfloat16")
    assert np.isfinite(half).all() and (half != whole).any()
    assert half == pytest.approx(whole, rel=0.05)
    with pytest.raises(ValueError, match="float32 or bfloat16"):
        losses("float16")


def test_labels_of_other_frames_do_not_count(corrector):
    clip = corrector_clip()
    first = adapt_corrector(corrector, [clip], Course(steps=3))
    corrected = clip.corrected.array.copy()
    corrected[~clip.exemplars] = ~corrected[~clip.exemplars]
    other = replace(clip, corrected=corrected)
    second = adapt_corrector(corrector, [other], Course(steps=3))
    assert tensors_digest(first.tensors) == tensors_digest(second.tensors)


def test_clips_that_do_not_fit_are_refused(oclr, corrector):
    with pytest.raises(ValueError, match="exemplar"):
        corrector_clip(marks=())
    with pytest.raises(ValueError, match="length"):
        replace(corrector_clip(), scores=np.zeros((3, K)))
    with pytest.raises(ValueError, match="flow, masks"):
        OclrClip(np.zeros((4, 4, H, W)), np.zeros((5, K, H, W)))
    with pytest.raises(ValueError, match="at least one"):
        adapt_corrector(corrector, [], Course(steps=1))
    with pytest.raises(ValueError, match="oclr"):
        finetune_oclr(corrector, [oclr_clip()], Course(steps=1))
