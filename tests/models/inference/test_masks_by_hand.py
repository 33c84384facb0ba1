"""Masks by hand in the steps of the method: exemplars for the whole clip, unchanged, and learnt from more often."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from motion_adapt.models.adaptation.adapt_corrector import CorrectorClipBatches
from motion_adapt.models.adaptation.clip_network import GIVEN_SHARE, MOST_FRAMES, ClipFrames, Replaced
from motion_adapt.models.inference.pipeline import correct, select
from motion_adapt.models.inference.planning import exemplars_for_part, parts
from motion_adapt.models.inference.proposal_judges import random_judge
from motion_adapt.models.inference.smoothing import smooth
from motion_adapt.models.networks.corrector import MaskCorrector
from motion_adapt.models.networks.lineage import by_hand_text, learnt_by_hand, masks_by_hand
from tests.models.adaptation.test_adaptation import corrector_clip

T, K, H, W, C = 24, 3, 32, 64, 12
LIMIT = 10  # frames of a part: there are three


def given_in(*frames: int) -> np.ndarray:
    marks = np.zeros(T, np.bool_)
    marks[list(frames)] = True
    return marks


@pytest.fixture(scope="module")
def clip() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    masks = np.zeros((T, K, H, W), np.bool_)
    masks[:, 0, 4:12, 4:20], masks[::2, 1, 16:24, 30:44] = True, True
    return {
        "frames": rng.integers(0, 255, (T, H, W, 3), dtype=np.uint8),
        "tokens": rng.normal(size=(T, H // 8, W // 8, C)).astype(np.float16),
        "masks": masks,
    }


def test_given_frames_are_exemplars_of_what_they_show_besides_the_others(clip: dict) -> None:
    asked = {"t": 2, "limit": LIMIT, "target": LIMIT}
    before = list(select(random_judge(1), **clip, **asked))
    after = list(select(random_judge(1), **clip, **asked, given=given_in(5)))
    marks, errors = (
        np.concatenate([getattr(part, name) for part in after]) for name in ("exemplars", "errors")
    )
    assert marks[5].tolist() == [True, False, False]  # object 1 is not in frame 5
    assert not errors[5].any()
    others = marks.copy()
    others[5] = False
    assert [others[start:stop, 0].sum() for start, stop in parts(T, LIMIT, LIMIT)] == [2, 2, 2]
    first_part = np.concatenate([part.exemplars for part in before])[parts(T, LIMIT, LIMIT)[1][0] :]
    np.testing.assert_array_equal(marks[parts(T, LIMIT, LIMIT)[1][0] :], first_part)


def test_an_object_that_only_a_given_mask_shows_has_no_empty_exemplars(clip: dict) -> None:
    masks = clip["masks"].copy()
    masks[5, 2, 10:14, 10:14] = True
    asked = {"t": 2, "limit": LIMIT, "target": LIMIT, "given": given_in(5)}
    found = list(select(random_judge(1), **{**clip, "masks": masks}, **asked))
    marks = np.concatenate([part.exemplars for part in found])
    assert np.flatnonzero(marks[:, 2]).tolist() == [5]
    assert marks[:, 0].sum() == 7


def test_given_exemplars_serve_every_part_and_come_out_as_they_are(clip: dict) -> None:
    marks = np.zeros((T, K), np.bool_)
    marks[5, 0] = True  # the only exemplar, in the first part
    torch.manual_seed(3)
    net = MaskCorrector(features=4, width=48, feature_channels=C).eval()
    given = given_in(5, 20)  # nothing was found in frame 20 by hand
    masks = clip["masks"].copy()
    masks[20] = False
    asked = {**clip, "masks": masks, "scores": np.full((T, K), 0.1, np.float32), "exemplars": marks}
    asked |= {"limit": LIMIT, "target": LIMIT}
    alone = np.concatenate([part.probabilities for part in correct(net, **asked)])
    found = list(correct(net, **asked, given=given))
    probabilities = np.concatenate([part.probabilities for part in found])
    assert not alone[parts(T, LIMIT, LIMIT)[1][0] :].any()  # their part has no exemplar
    assert probabilities[parts(T, LIMIT, LIMIT)[2][0]].any()
    corrected = np.concatenate([part.masks for part in found])
    for frame in (5, 20):
        np.testing.assert_array_equal(corrected[frame], masks[frame])
        np.testing.assert_array_equal(probabilities[frame], masks[frame])


def test_only_given_exemplars_cross_a_part() -> None:
    marks = np.zeros((6, 1), np.bool_)
    marks[[0, 4]] = True
    given = np.array([True, False, False, False, False, False])
    assert np.flatnonzero(exemplars_for_part(marks, 3, 6, given)).tolist() == [0, 4]
    assert np.flatnonzero(exemplars_for_part(marks, 0, 3, given)).tolist() == [0]


def test_fixed_frames_are_not_smoothed_and_pass_on_what_they_have() -> None:
    probabilities, flow = np.zeros((3, 1, 8, 8), np.float32), np.zeros((3, 4, 8, 8), np.float32)
    probabilities[1] = 1
    free = np.stack(list(smooth(probabilities, flow, iterations=1)))
    fixed = np.stack(list(smooth(probabilities, flow, iterations=1, fixed=np.array([False, True, False]))))
    assert free[1].max() < 1 and (fixed[1] == 1).all()
    np.testing.assert_allclose(fixed[0], 2 / 3, rtol=1e-6)


def test_a_clip_network_sees_given_frames_in_most_steps() -> None:
    count = MOST_FRAMES + 40
    rgb = np.zeros((count, 8, 8, 3), np.uint8)
    masks = np.zeros((count, 1, 8, 8), np.float16)
    masks[1] = 1  # frame 1 is not among those that are spread over the clip
    frames = ClipFrames(rgb, masks, 1, given=[1])
    seen = [frames(step, np.random.default_rng(step))["target"][0, 0].any() for step in range(400)]
    assert abs(np.mean(seen) - GIVEN_SHARE) < 0.08
    assert not any(
        ClipFrames(rgb, masks, 1)(step, np.random.default_rng(step))["target"][0, 0].any()
        for step in range(50)
    )


def test_frames_of_another_clip_are_put_in_their_place() -> None:
    one, other = np.zeros((5, 1, 2, 2), np.float32), np.ones((5, 1, 2, 2), np.float32)
    assert [frame.any() for frame in Replaced(one, other, [3])[2:5]] == [False, True, False]


def test_the_corrector_learns_given_frames_often_and_from_them_everywhere() -> None:
    given = np.zeros(20, np.bool_)
    given[17] = True
    plain = corrector_clip()
    marks = np.array(plain.exemplars)
    marks[17, 0] = True
    clip = replace(plain, given=given, exemplars=marks)
    assert clip.supervised()[17].all()  # an object that is not there is learnt too
    batches = CorrectorClipBatches([clip], window=3, limit=10, target=10)
    episodes = [batches.episode(np.random.default_rng(seed)) for seed in range(60)]
    assert 0.4 < np.mean([17 in episode["frames"] for episode in episodes]) < 0.9
    assert all(17 in episode["table"][0] for episode in episodes)


def test_a_given_frame_that_nothing_can_correct_is_in_no_episode() -> None:
    plain = corrector_clip()
    marks = np.zeros(plain.exemplars.shape, np.bool_)
    marks[2, 0] = True  # no exemplar in the second part, and the mask by hand of frame 17 shows nothing
    given = np.zeros(len(marks), np.bool_)
    given[17] = True
    clip = replace(plain, given=given, exemplars=marks)
    batches = CorrectorClipBatches([clip], window=3, limit=10, target=10)
    assert all(batches.episode(np.random.default_rng(seed))["frames"].max() < 10 for seed in range(20))


def test_masks_by_hand_are_remembered_through_later_trainings() -> None:
    once = {"on": "pseudo-labels", **masks_by_hand(2), "start": {"steps": 1}}
    assert learnt_by_hand({"training": {"on": "pseudo-labels", "start": once}}) == 2
    assert learnt_by_hand({"training": {"on": "pseudo-labels", "start": {"steps": 1}}}) == 0
    assert masks_by_hand(0) == {}
    assert (by_hand_text(1), by_hand_text(3)) == ("1 mask by hand", "3 masks by hand")
