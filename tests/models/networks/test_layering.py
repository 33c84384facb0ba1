import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motion_adapt.models.networks.layering import fixed_modal, hard_modal, soft_modal


@given(st.integers(0, 1000), st.integers(1, 4))
def test_hard_masks_are_disjoint_and_cover_what_the_amodal_masks_cover(seed: int, K: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    amodal = torch.rand(2, 3, K, 4, 5, generator=generator)
    order = torch.randint(0, 3, (2, 3, K), generator=generator).float()  # ties are likely
    modal = hard_modal(amodal, order)
    assert modal.sum(dim=2).max() <= 1
    assert torch.equal(modal.any(dim=2), (amodal > 0.5).any(dim=2))
    front = order.min(dim=-1, keepdim=True).values
    unique = (order == front).sum(-1, keepdim=True) == 1
    is_front = ((order == front) & unique)[..., None, None]
    assert torch.equal(modal & is_front, (amodal > 0.5) & is_front)


@given(st.integers(0, 1000))
def test_soft_masks_approach_hard_ones_as_the_order_becomes_clear(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    amodal = (torch.rand(1, 2, 3, 4, 5, generator=generator) > 0.5).float()
    order = 40.0 * torch.randperm(3, generator=generator).expand(1, 2, 3)
    soft = soft_modal(amodal, order)
    assert (soft - hard_modal(amodal, order).float()).abs().max() < 1e-3
    back_to_front = order[0, 0].argsort(descending=True).tolist()
    torch.testing.assert_close(fixed_modal(amodal, back_to_front), hard_modal(amodal, order).float())


def test_the_last_channel_is_in_front_by_default() -> None:
    modal = fixed_modal(torch.ones(1, 1, 3, 2, 2))
    assert modal[0, 0, :, 0, 0].tolist() == [0, 0, 1]


def test_an_order_of_other_objects_is_refused() -> None:
    with pytest.raises(ValueError, match="permutation of 2"):
        fixed_modal(torch.ones(1, 1, 2, 2, 2), (0, 2))
