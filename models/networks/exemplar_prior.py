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
    B, T, h, w, _ = tokens.shape
    x = F.normalize(tokens.float(), dim=-1).flatten(1, 3)  # (B, T * h * w, C)
    found = []
    for k in range(hidden.shape[2]):
        likeness = x @ exemplars.tokens[:, k].flatten(1, 2).mT / TEMPERATURE  # (B, T * h * w, E * h * w)
        nowhere = torch.finfo(
            likeness.dtype
        ).min  # not -inf: the softmax of a frame that sees no exemplar would be NaN
        likeness = likeness.view(B, T, h * w, -1, h * w).masked_fill(hidden[:, :, k, None, :, None], nowhere)
        weights = likeness.flatten(3).softmax(dim=-1).flatten(1, 2)  # (B, T * h * w, E * h * w)
        inside = exemplars.inside[:, k].flatten(1).to(weights)  # (B, E * h * w)
        found.append((weights @ inside[..., None]).view(B, T, h, w))
    carried = 2 * torch.stack(found, dim=2) - 1  # (B, T, K, h, w)
    return carried.float() * ~hidden.all(dim=-1)[..., None, None]
