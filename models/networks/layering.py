"""From amodal masks and an order to modal masks: every pixel goes to the front object (OCLR, section 3).

The order value of an object is larger the further back it lies. Fixed orders are listed from back to front.
"""

from collections.abc import Sequence
from itertools import permutations

import torch
from torch import Tensor

from motion_adapt.models.networks.blocks import check_shape


def fixed_modal(amodal: Tensor, order: Sequence[int] | None = None) -> Tensor:
    """Modal masks for one order of the objects: each is hidden by what the objects in front of it cover.

    amodal: (B, T, K, H, W) in [0, 1]. order: the K objects from back to front; by default the order of the
    channels, the last in front. Returns (B, T, K, H, W) in the channel order of `amodal`.
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
    """Binary, disjoint modal masks for inference: amodal > 0.5, layered by the order values frame by frame.

    amodal: (B, T, K, H, W) in [0, 1]. order: (B, T, K); among equal values the larger channel lies in front.
    Returns bool (B, T, K, H, W).
    """
    check_shape("amodal", amodal, "B T K H W")
    check_shape("order", order, "B T K", **dict(zip("BTK", amodal.shape, strict=False)))
    front_first = order.argsort(dim=-1, descending=True, stable=True).flip(-1)  # (B, T, K)
    front_first = front_first[..., None, None].expand_as(amodal)
    sorted_masks = (amodal > 0.5).gather(2, front_first)
    visible = sorted_masks & (sorted_masks.cumsum(dim=2) == 1)
    return torch.zeros_like(visible).scatter(2, front_first, visible)  # (B, T, K, H, W)


def soft_modal(amodal: Tensor, order: Tensor) -> Tensor:
    """Differentiable modal masks for training: the mean of all K! orders, weighted by their probability.

    The weight of an order is the product of sigmoid(o_back - o_front) over all its pairs, normalised over the
    orders.
    amodal: (B, T, K, H, W) in [0, 1]. order: (B, T, K). Returns (B, T, K, H, W) in [0, 1].
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
