"""Match predicted channels to objects: one optimal assignment for a whole clip, as in OCLR.

K is small (3), so every permutation is tried. This is exact and deterministic, and needs no solver.
"""

from itertools import permutations

import numpy as np
import torch
from torch import Tensor

INVALID_COST = 10.0
PRESENT_SHARE = 1e-6


def log_probabilities(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Return log p and log(1 - p), both clamped at -100, as in binary cross-entropy on probabilities."""
    return probabilities.log().clamp(min=-100.0), (1.0 - probabilities).log().clamp(min=-100.0)


@torch.no_grad()
def bce_costs(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean binary cross-entropy of every target with every predicted channel.

    Args:
        probabilities: (B, T, K, H, W) in [0, 1].
        targets: (B, T, K, H, W) in [0, 1].

    Returns:
        (B, K target, K predicted). A cost that is not finite is replaced by 10.
    """
    log_p, log_not_p = log_probabilities(probabilities)
    hit = torch.einsum("btihw,btjhw->bij", targets, log_p)
    miss = torch.einsum("btihw,btjhw->bij", 1.0 - targets, log_not_p)
    costs = -(hit + miss) / targets[0, :, 0].numel()  # (B, K, K)
    return torch.nan_to_num(costs, nan=INVALID_COST, posinf=INVALID_COST, neginf=INVALID_COST)


@torch.no_grad()
def pair_ious(masks: Tensor, targets: Tensor) -> Tensor:
    """Compute the IoU of every target with every mask in every frame; 1 for two empty masks.

    Args:
        masks: bool (B, T, K, H, W).
        targets: bool (B, T, K, H, W).

    Returns:
        (B, T, K target, K mask).
    """
    m, g = masks.flatten(3).float(), targets.flatten(3).float()  # (B, T, K, H*W)
    inter = torch.einsum("btip,btjp->btij", g, m)
    union = g.sum(-1)[..., :, None] + m.sum(-1)[..., None, :] - inter
    return torch.where(union > 0, inter / union.clamp(min=1.0), torch.ones_like(union))


def assign(costs: Tensor) -> Tensor:
    """Return the cheapest assignment for costs (B, K target, K predicted): each target's predicted channel, (B, K)."""
    table = costs.detach().cpu().double().numpy()  # (B, K, K)
    k = table.shape[-1]
    choices = np.array(list(permutations(range(k))))  # (K!, K)
    totals = table[:, np.arange(k), choices].sum(-1)  # (B, K!)
    return torch.from_numpy(choices[totals.argmin(1)]).to(costs.device)


def match_by_bce(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Return the assignment with the smallest binary cross-entropy, (B, K); see `bce_costs`."""
    return assign(bce_costs(probabilities, targets))


def match_by_iou(masks: Tensor, targets: Tensor) -> Tensor:
    """Return the assignment with the largest frame-averaged IoU, (B, K); see `pair_ious`."""
    return assign(-pair_ious(masks, targets).mean(1))


def permute_objects(values: Tensor, permutation: Tensor) -> Tensor:
    """Reorder the object axis (the third) so that entry i holds values[:, :, permutation[:, i]]."""
    index = permutation[(slice(None), None, slice(None)) + (None,) * (values.dim() - 3)]
    return values.gather(2, index.expand_as(values))


def matched_ious(masks: Tensor, targets: Tensor) -> Tensor:
    """Compute the IoU of every frame after matching by IoU, averaged over the objects present in the clip.

    Args:
        masks: bool (B, T, K, H, W).
        targets: bool (B, T, K, H, W).

    Returns:
        (B, T), 1 for a clip without any object.
    """
    ious = pair_ious(masks, targets)  # (B, T, K, K)
    permutation = assign(-ious.mean(1))
    own = ious.gather(3, permutation[:, None, :, None].expand(*ious.shape[:3], 1))[..., 0]  # (B, T, K)
    present = (targets.float().mean(dim=(1, 3, 4)) > PRESENT_SHARE).to(own)[:, None]  # (B, 1, K)
    count = present.sum(-1)
    return torch.where(count > 0, (own * present).sum(-1) / count.clamp(min=1.0), torch.ones_like(count))
