"""Losses and matching on small hand-made cases."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motion_adapt.models.training.losses import (
    CORRECTOR_PSEUDO_WEIGHTS,
    boundary_region,
    corrector_losses,
    error_regions,
    oclr_losses,
    oclr_pseudo_losses,
    selector_losses,
)
from motion_adapt.models.training.matching import assign, match_by_bce, matched_ious, permute_objects
from tests.examples import examples


def squares(T=2, H=16, W=24, K=3):
    """Return the amodal masks of K overlapping squares, the last one in front."""
    masks = torch.zeros(1, T, K, H, W)
    for k in range(K):
        masks[:, :, k, 3 : 3 + 8, 3 + 4 * k : 3 + 4 * k + 7] = 1
    return masks


def modal_of(amodal):
    front = torch.flip(torch.cumsum(torch.flip(amodal, [2]), 2), [2]) - amodal
    return amodal * (front == 0)


@examples(25)
@given(st.permutations(range(3)))
def test_the_losses_do_not_depend_on_the_channel_order_of_the_prediction(shuffle):
    truth = squares()
    logits, order = torch.randn(1, 2, 3, 16, 24), torch.randn(1, 2, 3)
    loss, _, _ = oclr_losses(logits, order, truth)
    shuffled, _, permutation = oclr_losses(logits[:, :, shuffle], order[:, :, shuffle], truth)
    torch.testing.assert_close(loss, shuffled)
    assert sorted(permutation[0].tolist()) == [0, 1, 2]


def test_matching_finds_the_permutation_and_undoes_it():
    truth = squares()
    shuffled = truth[:, :, [2, 0, 1]]
    permutation = match_by_bce(shuffled, truth)
    assert torch.equal(permute_objects(shuffled, permutation), truth)
    assert matched_ious(shuffled.bool(), truth.bool()).eq(1).all()


def test_invalid_costs_lose():
    probabilities, truth = squares().clone(), squares()
    probabilities[:, :, 0] = float("nan")
    assert match_by_bce(probabilities, truth).tolist() == [[0, 1, 2]]
    assert assign(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])).tolist() == [[1, 0]]


def test_a_clip_without_objects_scores_one():
    empty = torch.zeros(1, 2, 3, 8, 8, dtype=torch.bool)
    assert matched_ious(empty, empty).tolist() == [[1.0, 1.0]]


def test_the_boundary_is_near_the_edge_and_nowhere_else():
    mask = torch.zeros(1, 32, 32)
    mask[:, 10:22, 10:22] = 1
    region = boundary_region(mask)[0]
    assert region[16, 10] == 1 and region[16, 8] == 1
    assert region[16, 16] == 0 and region[2, 2] == 0
    assert boundary_region(torch.ones(1, 8, 8)).sum() == 0


def test_nan_predictions_still_give_a_finite_loss():
    logits = torch.full((1, 2, 3, 16, 24), float("nan"))
    loss, _, _ = oclr_losses(logits, torch.zeros(1, 2, 3), squares())
    assert torch.isfinite(loss)


def test_pseudo_labels_leave_open_what_other_objects_hide():
    amodal = squares()
    modal = modal_of(amodal)
    order = -torch.arange(3.0)[None, None].repeat(1, 2, 1) * 8
    logits = (amodal - 0.5) * 20
    logits.requires_grad_(True)
    loss, terms, permutation = oclr_pseudo_losses(logits, order, modal)
    loss.backward()
    assert permutation.tolist() == [[0, 1, 2]]
    assert terms["amodal"] < 1e-3 and terms["modal"] < 1e-2
    unsure = torch.zeros_like(logits).requires_grad_(True)
    oclr_pseudo_losses(unsure, torch.zeros(1, 2, 3), modal, weights={"amodal": 1.0})[0].backward()
    others = (modal.sum(2, keepdim=True) - modal) > 0
    assert unsure.grad[others].eq(0).all() and unsure.grad[~others].ne(0).all()


def test_pseudo_labels_larger_than_the_masks_keep_their_position():
    """A mask of odd extent does not fill whole pixels at half size: the loss is smallest if they hold its share."""
    masks = torch.zeros(1, 1, 1, 8, 8)
    masks[..., 1:6, 3:8] = 1  # centred at 3.5, 5.5
    share = torch.nn.functional.avg_pool2d(masks[0, 0], 2)[None, None]
    order = torch.zeros(1, 1, 1)
    logits = torch.logit(share, eps=1e-4)
    least = oclr_pseudo_losses(logits, order, masks, weights={"amodal": 1.0})[0]
    for shift in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        moved = torch.roll(masks, shift, dims=(-2, -1))
        there = torch.logit(torch.nn.functional.avg_pool2d(moved[0, 0], 2)[None, None], eps=1e-4)
        assert oclr_pseudo_losses(there, order, masks, weights={"amodal": 1.0})[0] > least + 0.05


@pytest.mark.parametrize(("dice", "found"), [(0.0, False), (0.1, True)])
def test_a_part_that_less_than_half_of_the_labels_have_is_kept_for_dice(dice, found):
    labels = torch.zeros(1, 20, 1, 48, 48)
    body, part = (..., slice(10, 14), slice(20, 26)), (..., slice(14, 20), slice(20, 26))
    labels[body] = 1
    labels[:, :9][part] = 1
    weights = {"amodal": 1.0, "modal": 1.0} | ({"dice": dice} if dice else {})
    one = torch.zeros(1, 1, 1, 48, 48, requires_grad=True)  # the same mask for all frames
    optimiser = torch.optim.Adam([one], lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        oclr_pseudo_losses(one.expand_as(labels), torch.zeros(1, 20, 1), labels, weights=weights)[
            0
        ].backward()
        optimiser.step()
    assert (one[body] > 0).all() and (one > 0).sum() == (60 if found else 24)


def test_error_regions_name_each_pixel_once():
    proposals, truth = squares()[:, :, :1], squares()[:, :, 1:2]
    regions = error_regions(proposals, truth)
    assert regions.sum(3).eq(1).all()
    assert regions[0, 0, 0, 0, 5, 4] == 1  # only the proposal
    assert regions[0, 0, 0, 2, 5, 12] == 1  # only the truth
    perfect, _ = selector_losses(regions, proposals, truth)
    assert perfect < 1e-6


def corrector_inputs(K=3, Q=5, T=2, h=2, w=3, C=4):
    torch.manual_seed(0)
    return {
        "logits": torch.randn(1, T, K, 16, 24, requires_grad=True),
        "features": torch.randn(1, Q, T, h, w, C, requires_grad=True),
        "alpha": torch.rand(1, Q, T, h, w).softmax(1),
        "tokens": torch.randn(1, T, h, w, C),
        "truth": squares(),
    }


def test_the_corrector_learns_masks_only_where_supervised_and_features_everywhere():
    inputs = corrector_inputs()
    supervised = torch.zeros(1, 2, 3)
    supervised[0, 1, 2] = 1
    loss, terms = corrector_losses(**inputs, supervised=supervised, weights=CORRECTOR_PSEUDO_WEIGHTS)
    loss.backward()
    touched = inputs["logits"].grad.abs().sum(dim=(0, 3, 4)) > 0
    assert touched.tolist() == [[False] * 3, [False, False, True]]
    assert inputs["features"].grad.abs().sum(dim=(0, 1, 3, 4, 5)).gt(0).all()
    assert "boundary" not in terms


def test_nothing_supervised_leaves_the_reconstruction():
    inputs = corrector_inputs()
    _, terms = corrector_losses(**inputs, supervised=torch.zeros(1, 2, 3))
    assert terms["bce"] == 0 and terms["alpha"] == 0 and terms["reconstruction"] > 0


@pytest.mark.parametrize("term", ["boundary", "dice"])
def test_boundary_and_dice_count_only_where_supervised(term):
    inputs = corrector_inputs()
    supervised = torch.zeros(1, 2, 3)
    supervised[0, 1, 2] = 1
    corrector_losses(**inputs, supervised=supervised, weights={term: 1.0})[0].backward()
    touched = inputs["logits"].grad.abs().sum(dim=(0, 3, 4)) > 0
    assert touched.tolist() == [[False] * 3, [False, False, True]]


def test_networks_that_answer_nan_have_a_loss_that_is_not_finite():
    """The training loop skips such a step, and reports what to do if there are many."""
    truth = squares()
    maps = torch.full((1, 2, 3, 3, 16, 24), 0.5)
    maps[0, 1, 2] = torch.nan
    assert selector_losses(maps, truth, truth)[0].isnan()
    inputs = corrector_inputs()
    inputs["alpha"][0, 1] = torch.nan
    assert corrector_losses(**inputs)[0].isnan()


def test_wrong_shapes_are_refused_by_name():
    with pytest.raises(ValueError, match="order"):
        oclr_losses(torch.zeros(1, 2, 3, 8, 8), torch.zeros(1, 2, 2), torch.zeros(1, 2, 3, 8, 8))
    inputs = corrector_inputs()
    with pytest.raises(ValueError, match="supervised"):
        corrector_losses(**inputs, supervised=torch.zeros(1, 3, 3))
