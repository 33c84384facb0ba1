"""UNet encoder and decoder that the three networks share (paper, A.2).

Frames are independent here. Without gradients, a CPU processes them a few at a time, in channels_last layout and in
place: this gives the same numbers in a fraction of the time and memory.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BYTES_AT_ONCE = {"cpu": 2**25}  # of a UNet's largest map: above this, malloc requests fresh pages every time
_BYTES_ELSEWHERE = 2**28  # enough to fill a GPU


class DoubleConv(nn.Module):
    """Two times: 3 x 3 convolution without bias, instance norm, LeakyReLU. Maps (N, a, H, W) to (N, b, H, W)."""

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
        """Return the maps of the first `levels` blocks (by default all), finest first. x: (N, in_channels, H, W)."""
        maps: list[Tensor] = []
        for block in self.blocks[:levels]:
            maps.append(block(F.max_pool2d(maps[-1], 2) if maps else x))
        return maps


class UNetDecoder(nn.Module):
    """Per level: up-convolution, concatenation [upsampled, skip] and a block; at the end a 1 x 1 convolution.

    Args:
        widths: channels of the input and of every level, coarsest first.
        out_channels: channels of the output.
    """

    def __init__(self, widths: Sequence[int], out_channels: int) -> None:
        super().__init__()
        steps = list(pairwise(widths))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in steps)
        self.blocks = nn.ModuleList(DoubleConv(2 * b, b) for _, b in steps)
        self.out = nn.Conv2d(widths[-1], out_channels, 1)

    def forward(self, x: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """Decode x (N, widths[0], h, w) with the encoder's skips, finest first, to (N, out_channels, H, W)."""
        x = _laid_out(x)
        for up, block, skip in zip(self.ups, self.blocks, reversed(skips), strict=True):
            x = block(torch.cat([up(x), skip], dim=1))
        return self.out(x)

    def in_parts(self, x: Tensor, parts: Sequence[Sequence[Tensor]]) -> Tensor:
        """Do the same as `forward`, part by part: `parts` holds the skips of consecutive parts of the frames."""
        frames = x.split([len(skips[0]) for skips in parts])
        return torch.cat([self(part, skips) for part, skips in zip(frames, parts, strict=True)])


class AcrossFrames(nn.Module):
    """Adds information from the neighbours in space and time to the maps of each frame.

    It is a residual 3 x 3 x 3 convolution over the clip, initialised to zero, so that it first changes nothing.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, 3, padding=1)
        for parameter in self.conv.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Map x (B * frames, C, h, w), frames of a clip in order, to the same shape."""
        clips = x.unflatten(0, (-1, frames)).transpose(1, 2)  # (B, C, T, h, w)
        return x + self.conv(clips).transpose(1, 2).flatten(0, 1)


def in_parts(channels: int, *inputs: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Split inputs (N, _, H, W) of a UNet into parts that fit in memory. With gradients they stay whole.

    Args:
        channels: channels of the UNet's largest map.
        *inputs: tensors with the same N, H and W, split alike.
    """
    x = inputs[0]
    if torch.is_grad_enabled():
        return iter([inputs])
    frame = channels * x.shape[-2] * x.shape[-1] * x.element_size()
    size = max(1, _BYTES_AT_ONCE.get(x.device.type, _BYTES_ELSEWHERE) // frame)
    return zip(*(x.split(size) for x in inputs), strict=True)


def _lean(x: Tensor) -> bool:
    return x.device.type == "cpu" and not torch.is_grad_enabled()


def _laid_out(x: Tensor) -> Tensor:
    # on CPU, convolutions and pooling are several times faster in channels_last; their backward passes are not
    return x.contiguous(memory_format=torch.channels_last if _lean(x) else torch.contiguous_format)


def _instance_norm_(x: Tensor) -> Tensor:
    """Apply instance norm to a convolution's output, possibly in place."""
    if not _lean(x):
        return F.instance_norm(x)
    # torch's own instance norm gives up channels_last. Two passes: a single one over squares would lose precision
    x.sub_(x.mean(dim=(2, 3), keepdim=True))
    return x.mul_((x.square().mean(dim=(2, 3), keepdim=True) + 1e-5).rsqrt_())
