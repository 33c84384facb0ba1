"""Turn amodal masks and a depth order into modal masks: every pixel goes to the frontmost object (OCLR, section 3).

An object further back has a larger order value. Fixed orders are listed from back to front.
"""

from collections.abc import Sequence
from itertools import permutations

import torch
from torch import Tensor

from motion_adapt.models.networks.blocks import check_shape


def fixed_modal(amodal: Tensor, order: Sequence[int] | None = None) -> Tensor:
    """Compute the modal masks for one given order: each object is hidden by the objects in front of it.

    Args:
        amodal: (B, T, K, H, W) in [0, 1].
        order: the K objects from back to front. The default is the channel order, with the last channel in front.

    Returns:
        (B, T, K, H, W) in the channel order of `amodal`.

    Raises:
        ValueError: `order` is not a permutation of the objects.
    """
    check_shape("amodal", amodal, "B T K H W")
    objects = amodal.shape[2]
    order = range(objects) if order is None else order
    if sorted(order) != list(range(objects)):
        raise ValueError(f"order: wanted a permutation of {objects} objects, got {tuple(order)}")
    modal: list[Tensor] = [amodal[:, :, 0]] * objects
    uncovered = torch.ones_like(amodal[:, :, 0])  # (B, T, H, W)
    for k in reversed(order):
        modal[k] = amodal[:, :, k] * uncovered
        uncovered = uncovered * (1 - amodal[:, :, k])
    return torch.stack(modal, dim=2)  # (B, T, K, H, W)


def hard_modal(amodal: Tensor, order: Tensor) -> Tensor:
    """Compute binary, disjoint modal masks for inference: threshold at 0.5, then layer each frame by its order values.

    Args:
        amodal: (B, T, K, H, W) in [0, 1].
        order: (B, T, K). If two values are equal, the higher channel is in front.

    Returns:
        bool (B, T, K, H, W).
    """
    check_shape("amodal", amodal, "B T K H W")
    check_shape("order", order, "B T K", **dict(zip("BTK", amodal.shape, strict=False)))
    front_first = order.argsort(dim=-1, descending=True, stable=True).flip(-1)  # (B, T, K)
    front_first = front_first[..., None, None].expand_as(amodal)
    sorted_masks = (amodal > 0.5).gather(2, front_first)
    visible = sorted_masks & (sorted_masks.cumsum(dim=2) == 1)
    return torch.zeros_like(visible).scatter(2, front_first, visible)  # (B, T, K, H, W)


def soft_modal(amodal: Tensor, order: Tensor) -> Tensor:
    """Compute differentiable modal masks for training: the mean over all K! orders, weighted by their probability.

    The weight of an order is the product of sigmoid(o_back - o_front) over all its pairs, normalised over the
    orders.

    Args:
        amodal: (B, T, K, H, W) in [0, 1].
        order: (B, T, K).

    Returns:
        (B, T, K, H, W) in [0, 1].
    """
    check_shape("amodal", amodal, "B T K H W")
    check_shape("order", order, "B T K", **dict(zip("BTK", amodal.shape, strict=False)))
    behind = (order[..., :, None] - order[..., None, :]).sigmoid().clamp(1e-5, 1 - 1e-5)  # (B, T, K, K)
    total = torch.zeros_like(order[..., 0])  # (B, T)
    modal = torch.zeros_like(amodal)
    for back_to_front in permutations(range(amodal.shape[2])):
        weight = torch.ones_like(total)
        for i, back in enumerate(back_to_front):
            for front in back_to_front[i + 1 :]:
                weight = weight * behind[..., back, front]
        total = total + weight
        modal = modal + weight[..., None, None, None] * fixed_modal(amodal, back_to_front)
    return (modal / total[..., None, None, None]).clamp(0, 1)
