"""Training losses of the three networks (paper, sections 3.2-3.4; OCLR: its own paper and code).

Pre-training compares with the ground truth of synthetic clips, adaptation with pseudo-labels:

    network    pre-training                                   adaptation
    OCLR       amodal + boundary + modal + order              modal + amodal outside other objects
    selector   BCE on the three error regions; with           (not adapted)
               head="score", MSE of the IoU
    corrector  BCE + boundary + reconstruction + alpha        the same without boundary, at exemplars only

Every function returns the weighted total and its unweighted terms by name.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from motion_adapt.models.networks.blocks import check_shape, resize
from motion_adapt.models.networks.layering import fixed_modal, soft_modal
from motion_adapt.models.training.matching import match_by_bce, permute_objects

Terms = dict[str, Tensor]

# OCLR's weights are the published ones. The paper gives none for the corrector; its defaults are this project's.
OCLR_WEIGHTS: Mapping[str, float] = {"amodal": 1.0, "boundary": 0.2, "modal": 0.1, "order": 0.05}
OCLR_PSEUDO_WEIGHTS: Mapping[str, float] = {"amodal": 1.0, "modal": 1.0}
CORRECTOR_WEIGHTS: Mapping[str, float] = {"bce": 1.0, "boundary": 0.2, "reconstruction": 0.1, "alpha": 0.2}
CORRECTOR_PSEUDO_WEIGHTS: Mapping[str, float] = {"bce": 1.0, "reconstruction": 0.1, "alpha": 0.2}

BOUNDARY_REACH = 3


def weighted_sum(terms: Terms, weights: Mapping[str, float]) -> Tensor:
    """Return the sum of weights[name] * terms[name] over the names of `weights`."""
    return torch.stack([weight * terms[name] for name, weight in weights.items()]).sum()


# ------------------------------------------------------------------------------------------------ boundaries


def boundary_region(masks: Tensor, reach: int = BOUNDARY_REACH) -> Tensor:
    """Mark pixels p where a mask is 1 at some but not all of the nine points p + {-reach, 0, reach}^2 in the image.

    masks: (..., H, W) of 0 and 1. Returns the same shape, 0 or 1.
    """
    flat = masks.reshape(-1, 1, *masks.shape[-2:])  # (N, 1, H, W)
    margin = (reach, reach, reach, reach)  # a point outside the image affects neither maximum nor minimum
    outer = F.max_pool2d(F.pad(flat, margin, value=0.0), 3, stride=1, dilation=reach)
    inner = -F.max_pool2d(-F.pad(flat, margin, value=1.0), 3, stride=1, dilation=reach)
    return (outer - inner).reshape(masks.shape)


def boundary_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean binary cross-entropy over the boundary region of the targets, all (..., H, W)."""
    region = boundary_region(targets)
    bce = F.binary_cross_entropy(probabilities * region, targets * region, reduction="sum")
    return bce / (region.sum() + 1e-12)


# ------------------------------------------------------------------------------------------------------ OCLR


def order_loss(order: Tensor, amodal: Tensor) -> Tensor:
    """Penalise order values that do not decrease towards the front, for pairs of objects that overlap somewhere.

    Args:
        order: (B, T, K).
        amodal: (B, T, K, H, W) of 0 and 1. The last channel is the front layer.
    """
    k = order.shape[-1]
    back, front = torch.triu_indices(k, k, offset=1, device=order.device)
    if len(back) == 0:
        return order.sum() * 0.0
    steady = order.mean(1)  # (B, K)
    margin = torch.sigmoid(steady[:, back] - steady[:, front]).clamp(1e-5, 1 - 1e-5)
    overlap = (amodal[:, :, back] * amodal[:, :, front]).sum(dim=(1, 3, 4)) > 0  # (B, pairs)
    return (-margin.log() * overlap).mean()


def oclr_losses(
    logits: Tensor, order: Tensor, targets: Tensor, *, weights: Mapping[str, float] = OCLR_WEIGHTS
) -> tuple[Tensor, Terms, Tensor]:
    """Compute OCLR's losses against the amodal ground truth of a synthetic clip.

    Args:
        logits: amodal (B, T, K, H, W).
        order: (B, T, K).
        targets: amodal masks (B, T, K, H', W') of 0 and 1 in layer order, the last channel in front. They are resized
            (nearest) to the logits if the sizes differ.
        weights: weights of the terms.

    Returns:
        (weighted total, terms, permutation (B, K): the predicted channel of each target).
    """
    B, T, K, H, W = logits.shape
    check_shape("order", order, "B T K", B=B, T=T, K=K)
    check_shape("targets", targets, "B T K H' W'", B=B, T=T, K=K)
    logits, order = finite(logits), finite(order)
    amodal = resize(targets.float(), H, W, "nearest")
    permutation = match_by_bce(logits.sigmoid(), amodal)
    logits, order = permute_objects(logits, permutation), permute_objects(order, permutation)
    probabilities = logits.sigmoid()
    modal = fixed_modal(amodal)
    terms = {
        "amodal": F.binary_cross_entropy_with_logits(logits, amodal),
        "boundary": boundary_loss(probabilities, amodal),
        "modal": F.binary_cross_entropy(soft_modal(probabilities, order), modal),
        "order": order_loss(order, amodal),
    }
    return weighted_sum(terms, weights), terms, permutation


def oclr_pseudo_losses(
    logits: Tensor, order: Tensor, masks: Tensor, *, weights: Mapping[str, float] = OCLR_PSEUDO_WEIGHTS
) -> tuple[Tensor, Terms, Tensor]:
    """Compute OCLR's losses against pseudo-labels, which cover only visible parts (paper, section 3.4).

    The soft modal output is compared with them everywhere. The amodal output is compared only outside the other
    objects, since it is unknown what they hide.

    Args:
        logits: amodal (B, T, K, H, W).
        order: (B, T, K).
        masks: disjoint modal masks (B, T, K, H', W'). If they are larger than the logits, a pixel's target is the share
            of it that they cover.
        weights: weights of the terms; dice, that of the modal output, is computed only if it has one.

    Returns:
        The same as `oclr_losses`.
    """
    B, T, K, H, W = logits.shape
    check_shape("order", order, "B T K", B=B, T=T, K=K)
    check_shape("masks", masks, "B T K H' W'", B=B, T=T, K=K)
    logits, order = finite(logits), finite(order)
    modal = resize(masks.float(), H, W, "area")
    permutation = match_by_bce(soft_modal(logits.sigmoid(), order), modal)
    logits, order = permute_objects(logits, permutation), permute_objects(order, permutation)
    others = modal.sum(2, keepdim=True) - modal
    known = (others < 0.5).to(modal)  # (B, T, K, H, W)
    bce = F.binary_cross_entropy_with_logits(logits, modal, reduction="none")
    visible = soft_modal(logits.sigmoid(), order)
    terms = {
        "amodal": (bce * known).sum() / known.sum().clamp(min=1.0),
        "modal": F.binary_cross_entropy(visible, modal),
    }
    if "dice" in weights:
        terms["dice"] = soft_dice(visible, modal)
    return weighted_sum(terms, weights), terms, permutation


def finite(tensor: Tensor) -> Tensor:
    """Replace NaN and infinities by 0."""
    return torch.nan_to_num(tensor, nan=0.0, posinf=0.0, neginf=0.0)


# -------------------------------------------------------------------------------------------------- selector


def error_regions(masks: Tensor, truth: Tensor) -> Tensor:
    """Compute the one-hot error map of proposals (section 3.2): channels false positive, correct, false negative.

    Args:
        masks: the proposals, (B, T, K, H, W) of 0 and 1.
        truth: (B, T, K, H, W) of 0 and 1.

    Returns:
        f32 (B, T, K, 3, H, W).
    """
    m, g = masks.bool(), truth.bool()
    return torch.stack([m & ~g, m == g, g & ~m], dim=3).float()


def selector_losses(error_maps: Tensor, masks: Tensor, truth: Tensor) -> tuple[Tensor, Terms]:
    """Compute the BCE of the predicted error map with the true one, averaged over regions, frames and pixels (eq. 3).

    Args:
        error_maps: probabilities (B, T, K, 3, H, W).
        masks: the proposals, (B, T, K, H, W) of 0 and 1.
        truth: (B, T, K, H, W) of 0 and 1.
    """
    B, T, K, H, W = masks.shape
    check_shape("error_maps", error_maps, "B T K 3 H W", **{"B": B, "T": T, "K": K, "3": 3, "H": H, "W": W})
    check_shape("truth", truth, "B T K H W", B=B, T=T, K=K, H=H, W=W)
    bce = probability_bce(error_maps, error_regions(masks, truth))
    return bce, {"bce": bce}


def score_losses(scores: Tensor, masks: Tensor, truth: Tensor) -> tuple[Tensor, Terms]:
    """Compute the mean squared error between predicted and true IoU (the scalar head of Table 3).

    Args:
        scores: (B, T, K) in [0, 1].
        masks: the proposals, (B, T, K, H, W) of 0 and 1. The IoU of two empty masks is 1.
        truth: (B, T, K, H, W) of 0 and 1.
    """
    B, T, K, H, W = masks.shape
    check_shape("scores", scores, "B T K", B=B, T=T, K=K)
    check_shape("truth", truth, "B T K H W", B=B, T=T, K=K, H=H, W=W)
    m, g = masks.bool().flatten(3), truth.bool().flatten(3)  # (B, T, K, H * W)
    union = (m | g).sum(-1)
    iou = torch.where(union > 0, (m & g).sum(-1) / union.clamp(min=1), 1.0)  # (B, T, K)
    mse = F.mse_loss(scores, iou)
    return mse, {"mse": mse}


# ------------------------------------------------------------------------------------------------- corrector


def corrector_losses(
    logits: Tensor,
    features: Tensor,
    alpha: Tensor,
    *,
    tokens: Tensor,
    truth: Tensor,
    supervised: Tensor | None = None,
    weights: Mapping[str, float] = CORRECTOR_WEIGHTS,
) -> tuple[Tensor, Terms]:
    """Compute the corrector's losses (section 3.3): masks, boundaries, reconstruction of the tokens, object alphas.

    Args:
        logits: (B, T, K, H, W).
        features: (B, Q, T, h, w, C).
        alpha: (B, Q, T, h, w), softmax over Q.
        tokens: (B, T, h, w, C), the target of the reconstruction.
        truth: (B, T, K, H, W) of 0 and 1.
        supervised: (B, T, K) of 0 and 1, the frames and objects to which the mask terms apply (in adaptation, each
            object's exemplar frames); by default all. The reconstruction needs no mask and applies to all frames.
        weights: weights of the terms. Reconstruction, boundary and dice are computed only if they have a weight.
            Without reconstruction, `features` and `tokens` are not used.
    """
    B, T, K, H, W = logits.shape
    Q, h, w = alpha.shape[1], *alpha.shape[-2:]
    check_shape("alpha", alpha, "B Q T h w", B=B, Q=Q, T=T, h=h, w=w)
    check_shape("truth", truth, "B T K H W", B=B, T=T, K=K, H=H, W=W)
    counts = torch.ones_like(logits[..., 0, 0]) if supervised is None else supervised.to(logits)
    check_shape("supervised", counts, "B T K", B=B, T=T, K=K)
    logits, truth = finite(logits), truth.to(logits)
    own_alpha = alpha[:, :K].transpose(1, 2)  # (B, T, K, h, w)
    small_truth = F.adaptive_avg_pool2d(truth.flatten(0, 1), (h, w)).view_as(own_alpha)
    terms = {
        "bce": counted_mean(F.binary_cross_entropy_with_logits(logits, truth, reduction="none"), counts),
        "alpha": counted_mean(
            probability_bce(own_alpha.clamp(0.0, 1.0), small_truth, reduction="none"), counts
        ),
    }
    if "reconstruction" in weights:
        C = features.shape[-1]
        check_shape("features", features, "B Q T h w C", B=B, Q=Q, T=T, h=h, w=w)
        check_shape("tokens", tokens, "B T h w C", B=B, T=T, h=h, w=w, C=C)
        reconstruction = torch.einsum("bqthw,bqthwc->bthwc", alpha, features)  # (B, T, h, w, C)
        terms["reconstruction"] = F.mse_loss(reconstruction, tokens)
    if "dice" in weights:
        counting = counts[..., None, None]
        terms["dice"] = soft_dice(logits.sigmoid() * counting, truth * counting)
    if "boundary" in weights:
        counted = truth * counts[..., None, None]  # a mask that is not supervised becomes empty: no boundary
        terms["boundary"] = boundary_loss(logits.sigmoid(), counted)
    return weighted_sum(terms, weights), terms


def probability_bce(probabilities: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    """Compute the binary cross-entropy of probabilities; if one of them is NaN, the whole result is NaN.

    F.binary_cross_entropy would raise an error instead, on a GPU an unrecoverable one, so that a training loop could
    not skip the step.
    """
    bce = F.binary_cross_entropy(torch.nan_to_num(probabilities), targets, reduction=reduction)
    return bce.masked_fill(probabilities.isnan().any(), torch.nan)


def soft_dice(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Compute 1 - Dice over all pixels together, from 0 (the same) to 1 (disjoint). Both have one shape."""
    return 1 - (2 * (probabilities * targets).sum() + 1) / (probabilities.sum() + targets.sum() + 1)


def counted_mean(values: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of (B, T, K, H, W) values over the (B, T, K) entries that count, or 0 if none does."""
    return (values.mean(dim=(3, 4)) * counts).sum() / counts.sum().clamp(min=1.0)
