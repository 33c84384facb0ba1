"""Parts that the three networks share: norm, attention, coordinates (paper, A.2). The UNet is in networks/unet.py.

They compute exactly what the authors' networks compute, even if that differs from the textbook: the norm divides by
the sample standard deviation plus epsilon, and masked scores are -1e9, so that a fully masked row is uniform, not NaN.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MASKED = -1e9
# Up to this many tokens, a GPU and a training build a mask of each token's own frame in full, which saves them time.
_DENSE_TOKENS = 4096


class Norm(nn.Module):
    """Computes gain * (x - mean) / (sample standard deviation + 1e-5) + bias over the last axis; not layer norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean(dim=-1, keepdim=True)
        # torch.std is slow on CPU; and unlike it, the vector norm has a gradient if x is constant
        std = torch.linalg.vector_norm(x, dim=-1, keepdim=True) / (x.shape[-1] - 1) ** 0.5
        return torch.addcmul(self.bias, self.weight, x / (std + 1e-5))


class FeedForward(nn.Module):
    """Linear, ReLU, dropout, linear on (..., width)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, width)
        self.linear2 = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(F.relu_(self.linear1(x))))


class Attention(nn.Module):
    """Packed projections of multi-head attention. Subclasses define how the weights are normalised.

    Head g uses the contiguous channels [g * width / heads, (g + 1) * width / heads).
    """

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f"width: wanted a multiple of num_heads={num_heads}, got {width}")
        self.num_heads = num_heads
        self.dropout = dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def project_query(self, x: Tensor) -> Tensor:
        """Project x (B, N, width) to queries (B, heads, N, width / heads)."""
        width = x.shape[-1]
        return self._heads(F.linear(x, self.in_proj_weight[:width], self.in_proj_bias[:width]))

    def project_key_value(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Project x (B, N, width) to keys and values, each (B, heads, N, width / heads)."""
        width = x.shape[-1]
        key, value = F.linear(x, self.in_proj_weight[width:], self.in_proj_bias[width:]).chunk(2, dim=-1)
        return self._heads(key), self._heads(value)

    def merge(self, x: Tensor) -> Tensor:
        """Merge the heads x (B, heads, N, width / heads) by the output projection to (B, N, width)."""
        return self.out_proj(x.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, heads, N, width / heads)


class SoftmaxAttention(Attention):
    """Ordinary attention: every query distributes its weight over the keys."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Let queries x (B, N, width) read the tokens `memory` (B, M, width). Returns (B, N, width)."""
        key, value = self.project_key_value(memory)
        p = self.dropout if self.training else 0.0
        return self.merge(F.scaled_dot_product_attention(self.project_query(x), key, value, dropout_p=p))


class OtherFramesAttention(Attention):
    """Self-attention in which a token does not see tokens of its own frame, itself included."""

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Let x (B, frames * n, width), frame slowest, read the other frames. Returns the same shape."""
        query = self.project_query(x)
        key, value = self.project_key_value(x)
        p = self.dropout if self.training else 0.0
        tokens = x.shape[1]
        if frames == 1:  # no other frame to see: equal scores everywhere, as if all of them were -1e9
            out = F.scaled_dot_product_attention(torch.zeros_like(query), key, value, dropout_p=p)
        elif tokens <= _DENSE_TOKENS and (x.is_cuda or torch.is_grad_enabled()):
            frame = torch.arange(frames, device=x.device).repeat_interleave(tokens // frames)
            visible = frame[:, None] != frame
            out = F.scaled_dot_product_attention(query, key, value, attn_mask=visible, dropout_p=p)
        else:
            out = self._frame_by_frame(query, key, value, frames, p)
        return self.merge(out)

    @staticmethod
    def _frame_by_frame(query: Tensor, key: Tensor, value: Tensor, frames: int, p: float) -> Tensor:
        # if the clip is repeated, the other frames of t are t + 1 ... t + frames - 1: a view, so no mask is needed
        n = query.shape[2] // frames
        keys, values = torch.cat([key, key], dim=2), torch.cat([value, value], dim=2)
        outs = []
        for t in range(frames):
            others = slice((t + 1) * n, (t + frames) * n)
            own = query[:, :, t * n : (t + 1) * n]
            out = F.scaled_dot_product_attention(own, keys[:, :, others], values[:, :, others], dropout_p=p)
            outs.append(out)
        return torch.cat(outs, dim=2)  # (B, heads, frames * n, width / heads)


class SlotAttention(Attention):
    """Attention in which the queries compete for every key (equation 7).

    The softmax runs over the queries of all frames. Each query's weights are then divided by their sum over
    the keys. A query that is hidden from all keys reads zero, unless all other queries are hidden too.
    """

    def forward(
        self, x: Tensor, key: Tensor, value: Tensor, hidden: Tensor, absent: Tensor | None = None
    ) -> Tensor:
        """Let the queries read projected tokens. A query sees either all tokens of a frame or none.

        Args:
            x: queries (B, Q * T, width), query slowest.
            key: (B, heads, F * n, width / heads), F frames of n tokens.
            value: the same shape as `key`.
            hidden: bool (B or 1, T, F), True if a query of frame T does not see the tokens of frame F.
            absent: bool (B, F), True for frames that only fill the batch.

        Returns:
            (B, Q * T, width).
        """
        T, frames = hidden.shape[1:]
        query = self.project_query(x) / key.shape[-1] ** 0.5
        scores = (query @ key.mT).float()  # (B, heads, Q * T, F * n)
        scores = scores.unflatten(-1, (frames, -1)).unflatten(2, (-1, T))  # (B, heads, Q, T, F, n)
        scores = scores.masked_fill_(hidden[:, None, None, :, :, None], MASKED)
        weights = scores.flatten(2, 3).softmax(dim=2)  # (B, heads, Q * T, F, n)
        if absent is not None:
            weights = weights.masked_fill(absent[:, None, None, :, None], 0)
        weights = weights.flatten(3)  # (B, heads, Q * T, F * n)
        total = weights.sum(dim=-1, keepdim=True)
        weights = weights / total.masked_fill(total == 0, 1)
        return self.merge(F.dropout(weights, self.dropout, self.training).to(value.dtype) @ value)


class EncoderLayer(nn.Module):
    """Self-attention between frames, then a feed-forward; each x <- Norm(x + Dropout(sublayer(x)))."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = OtherFramesAttention(width, num_heads, dropout)
        self.feed_forward = FeedForward(width, dropout)
        self.norm1, self.norm2 = Norm(width), Norm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Update tokens x (B, frames * n, width), frame slowest."""
        x = self.norm1(x + self.dropout(self.self_attention(x, frames)))
        return self.norm2(x + self.dropout(self.feed_forward(x)))


def stack(layer: nn.Module, count: int) -> nn.ModuleList:
    """Return `count` deep copies of a layer, which start with equal weights."""
    return nn.ModuleList(copy.deepcopy(layer) for _ in range(count))


def line(n: int, device: torch.device | None = None) -> Tensor:
    """Return n equally spaced values from -1 to +1, ends included; only -1 for n = 1."""
    return torch.linspace(-1, 1, n, device=device)


def coordinates(*sizes: int, device: torch.device | None = None) -> Tensor:
    """Return the coordinates of a grid, each axis from -1 to +1, in the order of `sizes`: f32 (*sizes, len(sizes))."""
    return torch.stack(torch.meshgrid(*(line(n, device) for n in sizes), indexing="ij"), dim=-1)


def resize(maps: Tensor, height: int, width: int, mode: str) -> Tensor:
    """Resize maps (B, N, K, H, W) to (B, N, K, height, width) by a mode of `F.interpolate`.

    "nearest" takes source index floor(i * in / out). "area" takes the mean of the area that a pixel covers.
    """
    return F.interpolate(maps.flatten(0, 1), (height, width), mode=mode).unflatten(0, maps.shape[:2])


def check_shape(name: str, tensor: Tensor, axes: str, **sizes: int | None) -> None:
    """Raise ValueError unless `tensor` has the named axes, and has the given size along each axis in `sizes`."""
    names = axes.split()
    wanted = [sizes.get(axis) for axis in names]
    fits = tensor.ndim == len(names) and all(
        want is None or want == got for want, got in zip(wanted, tensor.shape, strict=True)
    )
    if not fits or 0 in tensor.shape:
        shape = ", ".join(f"{a}={w}" if w is not None else a for a, w in zip(names, wanted, strict=True))
        raise ValueError(f"{name}: wanted ({shape}), got {tuple(tensor.shape)}")
