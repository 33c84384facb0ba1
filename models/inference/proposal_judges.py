"""Ways to judge proposals without an error map, for comparison with the selector (paper, Table 3).

    score         the selector with a scalar head predicts the mask's IoU (models/networks/selector.py)
    propagation   ViT tokens carry each frame's mask to its neighbours, where it should match their masks
    random        uniformly at random

All return errors in [0, 1], one minus the quality, so that the same rule chooses the exemplars.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

# tokens float (n, h, w, C), masks bool (n, K, H, W) and the first frame's index in the clip -> errors f32 (n, K)
Judge = Callable[[np.ndarray, NDArray[np.bool_], int], NDArray[np.float32]]

REACH = 3  # neighbours on either side
# the values in DINO's evaluation by label propagation
TEMPERATURE, NEAREST = 0.1, 5


def without_mask(errors: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Set errors f32 (n, K) to 1, the maximum, if the mask in bool (n, K, H, W) is empty."""
    return np.where(masks.any(axis=(2, 3)), errors, np.float32(1))


def random_judge(*seed: int) -> Judge:
    """Return a judge that draws errors uniformly from [0, 1). Equal seeds and clip positions give equal errors."""

    def judge(tokens: np.ndarray, masks: NDArray[np.bool_], start: int) -> NDArray[np.float32]:
        return np.random.default_rng([*seed, start]).random(masks.shape[:2], dtype=np.float32)

    return judge


def propagation_judge(*, reach: int = REACH, device: str | torch.device = "cpu") -> Judge:
    """Return a judge whose errors are 1 - `agreement`; 1 for empty masks and for a frame without neighbours."""

    def judge(tokens: np.ndarray, masks: NDArray[np.bool_], start: int) -> NDArray[np.float32]:
        given = torch.from_numpy(tokens).to(device), torch.from_numpy(masks).to(device)
        return without_mask(1 - agreement(*given, reach=reach).cpu().numpy(), masks)

    return judge


@torch.no_grad()
def agreement(tokens: Tensor, masks: Tensor, *, reach: int = REACH) -> Tensor:
    """Measure how well each mask, carried to the neighbouring frames, agrees with the masks there.

    A position of a neighbour takes the mask of the positions whose tokens are most similar to its own, weighted by a
    softmax of cosine similarity. Agreement is the IoU of soft masks on the token grid: the sum of the minima divided by
    the sum of the maxima. It is averaged over the neighbours.

    Args:
        tokens: (T, h, w, C).
        masks: bool (T, K, H, W).
        reach: neighbours on either side.

    Returns:
        f32 (T, K) in [0, 1]. A frame without neighbours gets 0; a neighbour counts as 0 if both masks are empty.
    """
    T, h, w, _ = tokens.shape
    x = F.normalize(tokens.float().flatten(1, 2), dim=-1)  # (T, h * w, C)
    m = F.adaptive_avg_pool2d(masks.float(), (h, w)).flatten(2)  # (T, K, h * w)
    found = torch.zeros(masks.shape[:2], device=x.device)
    for t in range(T):
        around = [s for s in range(max(0, t - reach), min(T, t + reach + 1)) if s != t]
        if not around:
            continue
        similarity = x[around] @ x[t].T  # (n, h * w there, h * w here)
        nearest, places = similarity.topk(min(NEAREST, h * w), dim=-1)
        weights = (nearest / TEMPERATURE).softmax(dim=-1)  # (n, h * w, nearest)
        carried = (m[t][:, places] * weights).sum(dim=-1).transpose(0, 1)  # (n, K, h * w)
        smaller = torch.minimum(carried, m[around]).sum(dim=-1)
        larger = torch.maximum(carried, m[around]).sum(dim=-1)
        found[t] = torch.where(larger > 0, smaller / larger.clamp(min=1e-12), 0.0).mean(dim=0)
    return found
