"""The corrector without object queries, for comparison (paper, Table 5): frame to frame, position to position.

Every position of a target frame attends to the positions of each object's exemplars and takes over their mask. The
result, one map per head, replaces the attention maps of the object queries as the input of the same UNet. Without
queries, nothing reconstructs the tokens. Inputs, attention masks and UNet are those of
`models.networks.corrector.MaskCorrector`, and `remember` and `forward` are called in the same way.
"""

from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_adapt.models.networks.blocks import (
    Attention,
    FeedForward,
    Norm,
    check_shape,
    coordinates,
    line,
    stack,
)
from motion_adapt.models.networks.corrector import Correction
from motion_adapt.models.networks.unet import DoubleConv, UNetDecoder, UNetEncoder, in_parts


class DenseMemory(NamedTuple):
    """A clip's exemplars as the dense corrector reads them.

    Attributes:
        keys_values: per layer, two tensors (B, heads, K * E * h * w, width / heads).
        carry_keys: (B, heads, K, E * h * w, width / heads).
        masks: (B, K, E * h * w), the share of each position that the mask covers.
        frames: int64 (B, K, E), -1 if an object has fewer exemplars than others.
    """

    keys_values: list[tuple[Tensor, Tensor]]
    carry_keys: Tensor
    masks: Tensor
    frames: Tensor


class DenseLayer(nn.Module):
    """Target positions attend to exemplar positions, then a feed-forward; each x <- Norm(x + Dropout(sublayer))."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, num_heads, dropout)
        self.feed_forward = FeedForward(width, dropout)
        self.norm1, self.norm2 = Norm(width), Norm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
        """Update the positions of one frame, x (B, h * w, width).

        Args:
            x: (B, h * w, width).
            key: (B, heads, M, width / heads), of exemplar positions.
            value: the same shape as `key`.
            visible: bool (B, M), the exemplar positions that the frame may read.

        Returns:
            (B, h * w, width).
        """
        p = self.attention.dropout if self.training else 0.0
        query = self.attention.project_query(x)
        read = F.scaled_dot_product_attention(
            query, key, value, attn_mask=visible[:, None, None], dropout_p=p
        )  # (B, heads, h * w, width / heads)
        x = self.norm1(x + self.dropout(self.attention.merge(read)))
        return self.norm2(x + self.dropout(self.feed_forward(x)))


class DenseCorrector(nn.Module):
    """Has the interface of `MaskCorrector`, but no queries, and so neither `num_background` nor `maps` nor `prior`.

    Args:
        features: channels of the UNet's first level.
        width: channels of the positions' keys and queries.
        feature_channels: channels of the tokens; mapped linearly to `width` if the two differ.
        num_objects: objects (K).
        num_heads: attention heads, each of which carries masks by itself.
        num_layers: layers of the transformer.
        dropout: dropout rate of the transformer.
    """

    reconstructs = False
    attention_parts = (
        "target_position",
        "exemplar_position",
        "object_code",
        "layers",
        "carry",
        "carried_maps",
    )

    def __init__(
        self,
        *,
        features: int = 64,
        width: int = 384,
        feature_channels: int = 384,
        num_objects: int = 3,
        num_heads: int = 8,
        num_layers: int = 3,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        widths = [features, 2 * features, 4 * features, 8 * features]
        self.features, self.feature_channels, self.num_objects = features, feature_channels, num_objects
        self.rgb_stem = DoubleConv(3, features)
        self.mask_stem = DoubleConv(num_objects, features)
        self.encoder = UNetEncoder(2 * features, widths[:3])
        self.to_width = nn.Linear(feature_channels, width) if feature_channels != width else nn.Identity()
        self.target_position = nn.Linear(3, width)
        self.exemplar_position = nn.Linear(2, width)
        self.object_code = nn.Linear(1, width)
        self.layers = stack(DenseLayer(width, num_heads, dropout), num_layers)
        self.carry = Attention(width, num_heads, dropout)
        self.carried_maps = nn.Linear(num_heads, widths[-1])
        self.mix_objects = nn.Linear(num_objects * widths[-1], widths[-1])
        self.decoder = UNetDecoder(widths[::-1], num_objects)

    def remember(self, tokens: Tensor, masks: Tensor, scores: Tensor, frames: Tensor) -> DenseMemory:
        """Encode a clip's exemplars. `scores` is not used here: attention weights the exemplars by position.

        Args:
            tokens: (B, E, K, h, w, C).
            masks: (B, E, K, H, W), 0 or 1.
            scores: (B, E, K).
            frames: int (B, K, E). -1 marks an entry that only fills the table.
        """
        K = self.num_objects
        check_shape("exemplar tokens", tokens, "B E K h w C", K=K, C=self.feature_channels)
        B, E, _, h, w, _ = tokens.shape
        check_shape("exemplar masks", masks, "B E K H W", B=B, E=E, K=K)
        check_shape("exemplar scores", scores, "B E K", B=B, E=E, K=K)
        check_shape("exemplar frames", frames, "B K E", B=B, K=K, E=E)

        dtype = self.carried_maps.weight.dtype
        x = self.to_width(tokens.to(dtype).transpose(1, 2))  # (B, K, E, h, w, width)
        small = F.adaptive_avg_pool2d(masks.to(dtype).transpose(1, 2).flatten(0, 1), (h, w))
        small = small.unflatten(0, (B, K))  # (B, K, E, h, w)
        places = line(K, x.device)[:, None]  # (K, 1)
        codes = self.object_code(places)[:, None, None, None]  # (K, 1, 1, 1, width)
        keys = x + self.exemplar_position(coordinates(h, w, device=x.device)) + small[..., None] * codes
        flat = keys.flatten(1, 4)  # (B, K * E * h * w, width)
        layers = cast(Iterable[DenseLayer], self.layers)
        carry_keys, _ = self.carry.project_key_value(flat)  # (B, heads, K * E * h * w, c)
        return DenseMemory(
            [layer.attention.project_key_value(flat) for layer in layers],
            carry_keys.unflatten(2, (K, -1)),
            small.flatten(2),
            frames,
        )

    def forward(
        self,
        rgb: Tensor,
        tokens: Tensor,
        masks: Tensor,
        frames: Tensor,
        memory: DenseMemory,
        *,
        use_masks: bool = True,
        with_features: bool = True,
    ) -> Correction:
        """Correct a window; the arguments are those of `MaskCorrector.forward`.

        In the result, Q = K + 1. `alpha` holds the mask carried over from each object's exemplars, averaged over heads,
        and the remainder for the background, divided by their sum. `features` has no channels.
        """
        check_shape("masks", masks, "B T K H W", K=self.num_objects)
        B, T, _, H, W = masks.shape
        if H % 8 or W % 8:
            raise ValueError(f"masks: wanted H and W to be multiples of 8, got {H} x {W}")
        h, w = H // 8, W // 8
        check_shape("rgb", rgb, "B T 3 H W", **{"B": B, "T": T, "3": 3, "H": H, "W": W})
        check_shape("tokens", tokens, "B T h w C", B=B, T=T, h=h, w=w, C=self.feature_channels)
        check_shape("frames", frames, "B T", B=B, T=T)
        if len(memory.frames) != B:
            raise ValueError(f"memory: wanted exemplars of B={B} clips, got {len(memory.frames)}")

        dtype = self.carried_maps.weight.dtype
        masks = masks.to(dtype) if use_masks else torch.zeros_like(masks, dtype=dtype)
        inputs = rgb.to(dtype).flatten(0, 1), masks.flatten(0, 1)  # (B * T, 3, H, W), (B * T, K, H, W)
        skips = [self._encode(*part) for part in in_parts(2 * self.features, *inputs)]

        x = self.to_width(tokens.to(dtype)) + self.target_position(coordinates(T, h, w, device=rgb.device))
        x = x.flatten(2, 3)  # (B, T, h * w, width)
        carried = torch.stack([self._carry(x[:, t], frames[:, t], memory) for t in range(T)], dim=1)
        carried = carried.unflatten(2, (h, w))  # (B, T, h, w, K, heads)

        maps = F.relu_(self.carried_maps(carried))  # (B, T, h, w, K, channels)
        mixed = self.mix_objects(maps.flatten(4)).flatten(0, 1).permute(0, 3, 1, 2)  # (B * T, channels, h, w)
        logits = self.decoder.in_parts(mixed, skips).unflatten(0, (B, T))  # (B, T, K, H, W)

        shares = carried.mean(dim=-1).movedim(-1, 1)  # (B, K, T, h, w)
        rest = (1 - shares.sum(dim=1, keepdim=True)).clamp(min=1e-3)
        alpha = torch.cat([shares, rest], dim=1)  # (B, K + 1, T, h, w)
        alpha = alpha / alpha.sum(dim=1, keepdim=True)
        return Correction(alpha[..., None][..., :0], alpha, logits)

    def _encode(self, rgb: Tensor, masks: Tensor) -> list[Tensor]:
        return self.encoder(torch.cat([self.rgb_stem(rgb), self.mask_stem(masks)], dim=1))

    def _carry(self, x: Tensor, frame: Tensor, memory: DenseMemory) -> Tensor:
        """Carry each object's exemplar masks to the positions x (B, h * w, width) of a frame: (B, h * w, K, heads)."""
        positions = memory.masks.shape[-1] // memory.frames.shape[-1]
        visible = _visible(frame, memory.frames)  # (B, K, E)
        visible = visible.repeat_interleave(positions, dim=2)  # (B, K, E * h * w)
        for layer, (key, value) in zip(self.layers, memory.keys_values, strict=True):
            x = layer(x, key, value, visible.flatten(1))
        query = self.carry.project_query(x)  # (B, heads, h * w, c)
        carried = []
        for k in range(self.num_objects):
            scores = (
                query @ memory.carry_keys[:, :, k].mT / query.shape[-1] ** 0.5
            )  # (B, heads, h * w, E * h * w)
            weights = scores.float().masked_fill(~visible[:, k, None, None], -torch.inf).softmax(dim=-1)
            carried.append(torch.einsum("bgnm,bm->bng", weights.to(scores), memory.masks[:, k]))
        return torch.stack(carried, dim=2)


def _visible(frame: Tensor, exemplars: Tensor) -> Tensor:
    """Return which exemplars, int (B, K, E), a frame, int (B,), may read: bool (B, K, E).

    As in the corrector, a frame does not read itself, unless it is the object's only exemplar. For an object without
    exemplars, the entries that fill the table are read.
    """
    present = exemplars >= 0
    others = present & (exemplars != frame[:, None, None])
    others = torch.where(others.any(dim=2, keepdim=True), others, present)
    return torch.where(others.any(dim=2, keepdim=True), others, torch.ones_like(others))
