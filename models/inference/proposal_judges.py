"""Ways to judge proposals without an error map, for comparison with the selector (paper, Table 3).

    score         the selector with a scalar head predicts the mask's IoU (models/networks/selector.py)
    propagation   ViT tokens carry each frame's mask to its neighbours; it should arrive where their masks are
    random        uniformly at random

All speak of errors in [0, 1], one minus the quality, so that exemplars are chosen by one rule.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

# tokens float (n, h, w, C), masks bool (n, K, H, W) and the first frame's place in the clip -> errors f32 (n, K)
Judge = Callable[[np.ndarray, NDArray[np.bool_], int], NDArray[np.float32]]

REACH = 3  # neighbours on either side
# those of DINO's evaluation of its tokens by label propagation
TEMPERATURE, NEAREST = 0.1, 5


def without_mask(errors: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Errors f32 (n, K) with 1, the greatest, where the mask of bool (n, K, H, W) is empty."""
    return np.where(masks.any(axis=(2, 3)), errors, np.float32(1))


def random_judge(*seed: int) -> Judge:
    """Errors by lot, uniform in [0, 1); the same for the same seed (one or more numbers) and place in the clip."""

    def judge(tokens: np.ndarray, masks: NDArray[np.bool_], start: int) -> NDArray[np.float32]:
        return np.random.default_rng([*seed, start]).random(masks.shape[:2], dtype=np.float32)

    return judge


def propagation_judge(*, reach: int = REACH, device: str | torch.device = "cpu") -> Judge:
    """Errors are one minus `agreement`; 1 for empty masks and for a frame without neighbours."""

    def judge(tokens: np.ndarray, masks: NDArray[np.bool_], start: int) -> NDArray[np.float32]:
        given = torch.from_numpy(tokens).to(device), torch.from_numpy(masks).to(device)
        return without_mask(1 - agreement(*given, reach=reach).cpu().numpy(), masks)

    return judge


@torch.no_grad()
def agreement(tokens: Tensor, masks: Tensor, *, reach: int = REACH) -> Tensor:
    """How well each mask, carried to the frames around it, fits the masks there: f32 (T, K) in [0, 1].

    tokens: (T, h, w, C). masks: bool (T, K, H, W). A position of a neighbour takes the mask of the positions
    whose tokens are nearest to its own, weighted by a softmax of cosine similarity. The fit is the sum of the
    smaller over the sum of the larger values (IoU of soft masks on the token grid), averaged over up to `reach`
    frames on either side. 0 where there are none, and where both masks are empty.
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
