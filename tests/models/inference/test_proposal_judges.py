"""Judging proposals by score, by propagation and at random: known answers, and the same exemplar rule for all."""

import numpy as np
import pytest
import torch

from motion_adapt.models.inference.pipeline import select
from motion_adapt.models.inference.proposal_judges import (
    agreement,
    propagation_judge,
    random_judge,
    without_mask,
)
from motion_adapt.models.networks.selector import MaskSelector
from motion_adapt.models.training.losses import score_losses

h, w, C, H, W = 4, 6, 24, 32, 48


def travelling_clip(T=7):
    """Return tokens and masks of a picture that moves right by one position per frame. All positions differ."""
    rng = np.random.default_rng(0)
    picture = rng.standard_normal((h, w, C))
    tokens = np.stack([np.roll(picture, t, axis=1) for t in range(T)]).astype(np.float16)
    small = np.zeros((T, h, w), bool)
    for t in range(T):
        small[t, 1:3, [t % w, (t + 1) % w]] = True
    masks = np.zeros((T, 2, H, W), bool)
    masks[:, 0] = small.repeat(8, 1).repeat(8, 2)
    return tokens, masks


def test_a_mask_that_moves_with_its_tokens_agrees():
    tokens, masks = travelling_clip()
    found = agreement(torch.from_numpy(tokens), torch.from_numpy(masks)).numpy()
    assert found.shape == (7, 2)
    assert found[:, 0].min() > 0.95 and not found[:, 1].any()


def test_a_mask_in_another_place_agrees_least():
    tokens, masks = travelling_clip()
    masks[3, 0] = np.roll(masks[3, 0], 16, axis=0)
    masks[5, 0] = False
    found = agreement(torch.from_numpy(tokens), torch.from_numpy(masks), reach=2).numpy()[:, 0]
    assert found.argsort()[:2].tolist() in ([5, 3], [3, 5]) and found[3] < 0.1 and found[5] == 0
    errors = propagation_judge(reach=2)(tokens, masks, 0)
    assert errors.dtype == np.float32 and errors[5, 0] == 1 and (errors[:, 1] == 1).all()
    np.testing.assert_allclose(errors[:, 0], 1 - found, atol=1e-6)


def test_agreement_by_hand():
    """Two frames of two positions with orthogonal tokens: up to the softmax, each position finds itself again."""
    tokens = torch.eye(2)[None, None].expand(2, 1, 2, 2)  # (T, h, w, C)
    masks = torch.zeros(2, 1, 1, 2, dtype=torch.bool)
    masks[0, 0, 0, 0], masks[1] = True, True
    p = 1 / (1 + np.exp(-1 / 0.1))
    # frame 0's mask is carried over as (p, 1 - p) to a mask (1, 1); frame 1's as (1, 1) to a mask (1, 0)
    np.testing.assert_allclose(agreement(tokens, masks)[:, 0], [1 / 2, 1 / 2], atol=1e-6)
    masks[1, 0, 0, 1] = False  # now (p, 1 - p) to (1, 0) in both directions
    np.testing.assert_allclose(agreement(tokens, masks)[:, 0], [p / (1 + 1 - p)] * 2, atol=1e-6)


def test_a_single_frame_has_no_neighbour_to_agree_with():
    tokens, masks = travelling_clip(T=1)
    assert (propagation_judge()(tokens, masks, 0) == 1).all()


def test_random_errors_depend_on_the_seed_and_the_position():
    tokens, masks = travelling_clip()
    first, same, other, later = (
        random_judge(seed)(tokens, masks, start) for seed, start in ((1, 0), (1, 0), (2, 0), (1, 7))
    )
    assert np.array_equal(first, same) and first.shape == (7, 2)
    assert not np.array_equal(first, other) and not np.array_equal(first, later)


@pytest.fixture(scope="module")
def scorer():
    torch.manual_seed(0)
    return MaskSelector(
        features=4, width=16, num_heads=2, num_layers=1, feature_channels=C, head="score"
    ).eval()


def test_the_scalar_head_gives_a_number_for_each_mask(scorer):
    masks, rgb = torch.rand(2, 3, 4, H, W) > 0.5, torch.randn(2, 3, 3, H, W)
    tokens = torch.randn(2, 3, H // 16, W // 16, C)
    with torch.no_grad():
        iou = scorer(masks, rgb, tokens)
        alone = scorer(masks[1:, :, 2:3], rgb[1:], tokens[1:])
    assert iou.shape == (2, 3, 4) and iou.min() > 0 and iou.max() < 1
    torch.testing.assert_close(alone[0, :, 0], iou[1, :, 2], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="head: wanted error_map or score"):
        MaskSelector(head="both")


def test_scores_are_compared_with_the_iou():
    masks = torch.zeros(1, 2, 2, 8, 8)
    truth = masks.clone()
    masks[0, 0, 0, :4], truth[0, 0, 0, 2:6] = 1, 1  # 32 and 32 pixels, 16 shared: 1/3
    masks[0, 1, 1, :1] = 1  # 0; the two pairs of empty masks: 1
    right = torch.tensor([[[1 / 3, 1], [1, 0]]])
    assert score_losses(right, masks, truth)[0] < 1e-12
    assert score_losses(right + 0.5, masks, truth)[0].item() == pytest.approx(0.25)


def test_all_methods_choose_exemplars_by_the_same_rule(scorer):
    tokens, masks = travelling_clip()
    rgb = np.random.default_rng(1).integers(0, 255, (7, H, W, 3), dtype=np.uint8)
    masks[2, 0] = False
    coarse = np.random.default_rng(2).standard_normal((7, H // 16, W // 16, C)).astype(np.float16)
    for judge, seen in ((scorer, coarse), (propagation_judge(), tokens), (random_judge(0), tokens)):
        (piece,) = select(judge, rgb, seen, masks, t=3)
        assert piece.error_labels is None and piece.errors.dtype == np.float32
        assert piece.errors.min() >= 0 and piece.errors.max() <= 1
        chosen = np.flatnonzero(piece.exemplars[:, 0])
        usable = np.delete(np.arange(7), 2)
        best = usable[np.argsort(piece.errors[usable, 0], kind="stable")[:3]]
        assert set(chosen) == set(best)
        np.testing.assert_allclose(piece.scores.sum(0), 1, rtol=1e-5)


def test_an_empty_mask_is_the_greatest_error():
    masks = np.zeros((2, 1, 4, 4), bool)
    masks[0] = True
    assert without_mask(np.full((2, 1), 0.3, np.float32), masks).ravel().tolist() == pytest.approx([0.3, 1])
