"""The reference's resampling of a ViT's position table to another grid (paper, A.3).

The reference interpolates by a scale factor that contains an extra 0.1, so that even an axis that keeps its
length is slightly resampled. The paper's selector and corrector were trained on such tokens.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from motion_adapt.models.networks.blocks import check_shape


def reference_position_table(pos_embed: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resample a square position table with its class entry to `grid` = (h, w) patches.

    pos_embed: float (1, 1 + n * n, C), class entry first. Returns (1, 1 + h * w, C), row by row.
    """
    check_shape("pos_embed", pos_embed, "one entries C", one=1)
    n = math.isqrt(pos_embed.shape[1] - 1)
    if n == 0 or n * n != pos_embed.shape[1] - 1:
        raise ValueError(f"pos_embed: wanted (1, 1 + n * n, C), got {tuple(pos_embed.shape)}")
    h, w = grid
    table = pos_embed[:, 1:].unflatten(1, (n, n)).permute(0, 3, 1, 2)  # (1, C, n, n)
    table = F.interpolate(
        table, scale_factor=((h + 0.1) / n, (w + 0.1) / n), mode="bicubic", recompute_scale_factor=False
    )  # (1, C, h, w)
    return torch.cat([pos_embed[:, :1], table.flatten(2).mT], dim=1)  # (1, 1 + h * w, C)
