"""Parameter-free mask propagation: exemplar masks are carried to other frames by token similarity.

Each position of a frame takes the mask of the exemplar positions whose tokens are most similar, as in label
propagation. The result is coarse. It is correct if appearance alone separates an object from the rest.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.05  # of the softmax over cosine similarities


class Recalled(NamedTuple):
    """Exemplars, ready for `recall`.

    Attributes:
        tokens: (B, K, E, h * w, C), of unit length.
        inside: (B, K, E, h * w), the share of each position that the mask covers.
    """

    tokens: Tensor
    inside: Tensor


def recallable(tokens: Tensor, masks: Tensor) -> Recalled:
    """Prepare every object's exemplars, tokens (B, K, E, h, w, C) and masks (B, K, E, H, W), for `recall`."""
    h, w = tokens.shape[3:5]
    inside = F.adaptive_avg_pool2d(masks.float().flatten(0, 1), (h, w)).unflatten(0, masks.shape[:2])
    return Recalled(F.normalize(tokens.float().flatten(3, 4), dim=-1), inside.flatten(3))


def recall(tokens: Tensor, exemplars: Recalled, hidden: Tensor) -> Tensor:
    """Carry the exemplar masks to other frames.

    Args:
        tokens: (B, T, h, w, C), of the frames.
        exemplars: from `recallable`.
        hidden: bool (B, T, K, E), True for exemplars that a frame must not see.

    Returns:
        f32 (B, T, K, h, w) in [-1, 1]: 1 is certainly inside the object, -1 certainly outside. It is 0 if all exemplars
        of an object are hidden from the frame.
    """
    T, h, w = tokens.shape[1:4]
    x = F.normalize(tokens.float(), dim=-1).flatten(1, 3) / TEMPERATURE  # (B, T * h * w, C)
    found = []
    for k in range(hidden.shape[2]):
        inside = exemplars.inside[:, k].float()  # (B, E, h * w)
        values = torch.stack([inside, torch.ones_like(inside)], dim=-1)  # (B, E, h * w, 2)
        sums = _sums(x, exemplars.tokens[:, k], values, hidden[:, :, k])  # (B, E, T * h * w, 2)
        seen = ~hidden[:, :, k].mT[..., None, None]  # (B, E, T, 1, 1)
        covered, total = (sums.unflatten(2, (T, h * w)) * seen).sum(dim=1).unbind(-1)  # (B, T, h * w) each
        found.append((covered / total.clamp_min(torch.finfo(total.dtype).tiny)).unflatten(2, (h, w)))
    carried = 2 * torch.stack(found, dim=2) - 1  # (B, T, K, h, w)
    return carried * ~hidden.all(dim=-1)[..., None, None]


def _sums(x: Tensor, keys: Tensor, values: Tensor, hidden: Tensor) -> Tensor:
    """Sum the values of each exemplar's positions, weighted by exp(x . key). Returns f32 (B, E, N, V).

    A CPU takes exemplar by exemplar, whose weights fit into its cache, and leaves out those that no frame sees.

    Args:
        x: tokens (B, N, C).
        keys: (B, E, n, C).
        values: f32 (B, E, n, V).
        hidden: bool (B, T, E).
    """

    def weighted(keys: Tensor, values: Tensor) -> Tensor:
        # The exponents are within 1 / TEMPERATURE of 0, so the softmax needs no maximum.
        weights = (x @ keys.flatten(1, 2).mT).float().exp_()  # (B, N, E * n)
        with torch.autocast(x.device.type, enabled=False):  # 16 bits could not hold them
            return weights.unflatten(2, keys.shape[1:3]).transpose(1, 2) @ values

    if x.device.type != "cpu":
        return weighted(keys, values)
    unseen = hidden.flatten(0, 1).all(dim=0).tolist()
    nothing = x.new_zeros(len(x), 1, x.shape[1], values.shape[-1])
    parts = zip(keys.split(1, dim=1), values.split(1, dim=1), unseen, strict=True)
    return torch.cat([nothing if skip else weighted(key, value) for key, value, skip in parts], dim=1)
