"""A small convolutional replacement for a ViT: dense tokens on a grid of patches, about a million parameters.

It lets the package work without any download. It is trained without labels, on point correspondences between two
frames of a synthetic clip (models/pretraining/train_features.py). Every frame is encoded independently. Like the
tokens of a ViT, its tokens encode their position in the frame.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_adapt.models.networks.blocks import check_shape

DILATIONS = (1, 2, 3)
WAVES = (0.25, 0.5, 1.0, 2.0)  # frequencies that encode a position, in cycles per frame side


class CompactFeatures(nn.Module):
    """Computes tokens of unit variance from normalised frames.

    Args:
        channels: channels of the tokens.
        patch_size: side of a patch in pixels, a power of two.
        width: channels of the last hidden layers. Each level before has half as many, but at least 24; all must be
            multiples of 8.

    Raises:
        ValueError: there is no network with these arguments.
    """

    def __init__(self, *, channels: int = 64, patch_size: int = 8, width: int = 96) -> None:
        super().__init__()
        levels = patch_size.bit_length() - 1
        if patch_size < 2 or patch_size != 2**levels:
            raise ValueError(f"patch_size: wanted a power of two from 2 on, got {patch_size}")
        self.channels, self.patch_size = channels, patch_size
        widths = [3, *(max(24, width >> (levels - 1 - level)) for level in range(levels))]
        if any(level % 8 for level in widths[1:]):
            raise ValueError(
                f"width: wanted multiples of 8 at all {levels} levels, got {width}, so {widths[1:]}"
            )
        self.stem = nn.Sequential(*(Shrink(a, b) for a, b in pairwise(widths)))
        self.position = nn.Conv2d(4 * len(WAVES), widths[-1], 1)
        self.context = nn.Sequential(*(Residual(widths[-1], dilation) for dilation in DILATIONS))
        self.head = nn.Conv2d(widths[-1], channels, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Encode normalised frames (N, 3, h * patch, w * patch) as tokens f32 (N, C, h, w)."""
        check_shape("frames", frames, "N 3 H W", **{"3": 3})
        if any(side % self.patch_size for side in frames.shape[2:]):
            raise ValueError(f"frames: wanted sides a multiple of {self.patch_size}, got {frames.shape[2:]}")
        x = self.stem(frames)  # (N, width, h, w)
        x = x + self.position(waves(x.shape[2], x.shape[3], x.device))
        tokens = self.head(self.context(x))  # (N, C, h, w)
        return F.layer_norm(tokens.movedim(1, -1), (self.channels,)).movedim(-1, 1)  # (N, C, h, w)


def waves(h: int, w: int, device: torch.device) -> Tensor:
    """Return sines and cosines of the cell centres of a grid, f32 (1, 4 * len(WAVES), h, w)."""
    maps = []
    for axis, size in enumerate((h, w)):
        place = ((torch.arange(size, device=device) * 2 + 1) / size - 1) * math.pi  # -pi to pi
        angles = place * torch.tensor(WAVES, device=device)[:, None]  # (len(WAVES), size)
        wave = torch.cat([angles.sin(), angles.cos()])
        maps.append((wave[:, :, None] if axis == 0 else wave[:, None]).expand(-1, h, w))
    return torch.cat(maps)[None]


class Shrink(nn.Module):
    """Halves the resolution: a strided convolution, then a convolution at the new scale."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1),
            nn.GroupNorm(4, out_channels),
            nn.GELU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, groups=out_channels // 8),
            nn.GELU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, H / 2, W / 2)."""
        out: Tensor = self.layers(x)
        return out


class Residual(nn.Module):
    """Two dilated convolutions with a skip connection; they widen the receptive field of a token."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(4, channels),
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation),
            nn.GELU(),
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to the same shape."""
        change: Tensor = self.layers(x)
        return x + change
