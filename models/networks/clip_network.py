"""The clip network: a small UNet that learns the appearance of one clip's objects.

It sees single frames, and perhaps how fast their pixels move. It is too small to memorise errors that differ from frame
to frame, so it learns what the masks have in common.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 96, 128)
PATCH = 2
_GROUPS = 8  # of the group norm
_BACKGROUND = 3.0  # logit before any training; that of each object is 0


class ClipNetwork(nn.Module):
    """A UNet from a frame to a softmax over its objects and the background.

    Args:
        objects: K.
        widths: channels of the levels, finest first; each is a multiple of 8.
        patch: pixels along the side of a square that the finest level sees as one; the output has all pixels.
        motion: whether it sees the pixels' own speed (models/inputs/own_speed.py) in addition to their colour.
    """

    def __init__(
        self, objects: int, widths: Sequence[int] = WIDTHS, patch: int = PATCH, *, motion: bool = False
    ) -> None:
        super().__init__()
        self.objects, self.patch, self.motion = objects, patch, motion
        self.stride = patch * 2 ** (len(widths) - 1)  # of the coarsest level, in pixels
        self.arguments: dict[str, Any] = {"objects": objects, "widths": list(widths), "patch": patch}
        self.arguments |= {"motion": True} if motion else {}
        inputs = [(5 + motion) * patch**2, *widths]  # row, column and what it sees
        self.down = nn.ModuleList(_block(a, b) for a, b in pairwise(inputs))
        self.up = nn.ModuleList(_block(a + b, a) for a, b in pairwise(widths))
        self.out = nn.Conv2d(widths[0], (objects + 1) * patch**2, 1)
        nn.init.zeros_(self.out.weight)
        bias = torch.zeros((objects + 1) * patch**2)
        bias[objects * patch**2 :] = (
            _BACKGROUND  # most pixels show no object: no step is spent on learning that
        )
        self.out.bias = nn.Parameter(bias)

    def forward(self, seen: Tensor) -> Tensor:
        """Return logits (N, K + 1, H, W) of the objects and the background.

        Args:
            seen: f32 (N, 3, H, W), normalised colours, or with `motion` (N, 4, H, W), the speed last. H and W are
                multiples of `stride`.
        """
        rgb, speed = seen[:, :3], seen[:, 3:]
        x = F.pixel_unshuffle(torch.cat([rgb, _places(rgb), speed], dim=1), self.patch)
        maps: list[Tensor] = []
        for block in self.down:
            maps.append(block(F.max_pool2d(maps[-1], 2) if maps else x))
        x = maps[-1]
        for block, skip in zip(reversed(self.up), reversed(maps[:-1]), strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skip], dim=1))
        return F.pixel_shuffle(self.out(x), self.patch)


def object_probabilities(logits: Tensor) -> Tensor:
    """Return the objects' probabilities (N, K, H, W) in [0, 1], scaled so that the likeliest has the foreground's.

    A pixel that is surely foreground stays so in the mask, even if the network cannot tell which object it belongs to.

    Args:
        logits: (N, K + 1, H, W), the background last.
    """
    shares = logits.softmax(dim=1)
    objects, background = shares[:, :-1], shares[:, -1:]
    return (1 - background) * objects / objects.amax(dim=1, keepdim=True).clamp_min(1e-12)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """Build two layers of 3 x 3 convolution, group norm and ReLU."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.GroupNorm(_GROUPS, outputs)]
        layers += [nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _places(like: Tensor) -> Tensor:
    """Return row and column of every pixel in [-1, 1], (N, 2, H, W)."""
    count, _, height, width = like.shape
    rows = torch.linspace(-1, 1, height, device=like.device, dtype=like.dtype)
    columns = torch.linspace(-1, 1, width, device=like.device, dtype=like.dtype)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(count, -1, -1, -1)
