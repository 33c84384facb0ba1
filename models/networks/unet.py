"""UNet halves that the three networks share (paper, A.2): the encoder's skips and the decoder they lead into.

Frames are independent here. Where no gradient is wanted, a CPU takes them a few at a time, channel by channel
within a pixel, and in place: the same numbers in a fraction of the time and memory.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BYTES_AT_ONCE = {"cpu": 2**25}  # of a UNet's largest map: beyond, malloc takes fresh pages every time
_BYTES_ELSEWHERE = 2**28  # enough to fill a GPU


class DoubleConv(nn.Module):
    """Twice a 3 x 3 convolution without bias, instance norm and LeakyReLU: (N, a, H, W) -> (N, b, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        for conv in (self.conv1, self.conv2):
            x = F.leaky_relu_(_instance_norm_(conv(_laid_out(x))), 0.01)
        return x


class UNetEncoder(nn.Module):
    """Blocks separated by 2 x 2 max pooling; `widths` are their output channels, finest first."""

    def __init__(self, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(DoubleConv(a, b) for a, b in pairwise([in_channels, *widths]))

    def forward(self, x: Tensor, levels: int | None = None) -> list[Tensor]:
        """x: (N, in_channels, H, W). Returns the maps of the first `levels` blocks (or all), finest first."""
        maps: list[Tensor] = []
        for block in self.blocks[:levels]:
            maps.append(block(F.max_pool2d(maps[-1], 2) if maps else x))
        return maps


class UNetDecoder(nn.Module):
    """Up-convolution, concatenation [upsampled, skip] and a block per level, then a 1 x 1 convolution.

    widths: channels of the input and of every level, coarsest first.
    """

    def __init__(self, widths: Sequence[int], out_channels: int) -> None:
        super().__init__()
        steps = list(pairwise(widths))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in steps)
        self.blocks = nn.ModuleList(DoubleConv(2 * b, b) for _, b in steps)
        self.out = nn.Conv2d(widths[-1], out_channels, 1)

    def forward(self, x: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """x: (N, widths[0], h, w). skips: finest first. Returns (N, out_channels, H, W)."""
        x = _laid_out(x)
        for up, block, skip in zip(self.ups, self.blocks, reversed(skips), strict=True):
            x = block(torch.cat([up(x), skip], dim=1))
        return self.out(x)

    def in_parts(self, x: Tensor, parts: Sequence[Sequence[Tensor]]) -> Tensor:
        """As `forward`, with the skips of one part of the frames after the other."""
        frames = x.split([len(skips[0]) for skips in parts])
        return torch.cat([self(part, skips) for part, skips in zip(frames, parts, strict=True)])


class AcrossFrames(nn.Module):
    """Adds to the maps of each frame what those of its neighbours, in space and time, show; at first nothing.

    A 3 x 3 x 3 convolution over the clip: (B * T, C, h, w) -> the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, 3, padding=1)
        for parameter in self.conv.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x: the maps of clips of `frames` frames, one frame after the other."""
        clips = x.unflatten(0, (-1, frames)).transpose(1, 2)  # (B, C, T, h, w)
        return x + self.conv(clips).transpose(1, 2).flatten(0, 1)


def in_parts(channels: int, *inputs: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Split inputs (N, _, H, W) of a UNet whose largest map has so many channels; training takes them whole."""
    x = inputs[0]
    if torch.is_grad_enabled():
        return iter([inputs])
    frame = channels * x.shape[-2] * x.shape[-1] * x.element_size()
    size = max(1, _BYTES_AT_ONCE.get(x.device.type, _BYTES_ELSEWHERE) // frame)
    return zip(*(x.split(size) for x in inputs), strict=True)


def _lean(x: Tensor) -> bool:
    return x.device.type == "cpu" and not torch.is_grad_enabled()


def _laid_out(x: Tensor) -> Tensor:
    # convolutions and pooling on CPU are several times faster on channels_last, their backward passes are not
    return x.contiguous(memory_format=torch.channels_last if _lean(x) else torch.contiguous_format)


def _instance_norm_(x: Tensor) -> Tensor:
    """Instance norm of a convolution's output, which it may overwrite."""
    if not _lean(x):
        return F.instance_norm(x)
    # torch's own leaves channels_last; two passes, for the mean of squares alone would lose what is small
    x.sub_(x.mean(dim=(2, 3), keepdim=True))
    return x.mul_((x.square().mean(dim=(2, 3), keepdim=True) + 1e-5).rsqrt_())
