"""The mask corrector: repairs the masks of target frames from exemplars (section 3.3, equations 5-8).

Exemplar masks pool ViT tokens into one query per object. Object and background queries compete for the tokens of the
target frames and of the exemplars. The queries are trained to reconstruct the tokens. Their attention maps (or, in one
row of Table 5, their alpha maps) are decoded into masks.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_adapt.models.networks.blocks import (
    FeedForward,
    Norm,
    SlotAttention,
    SoftmaxAttention,
    check_shape,
    coordinates,
    line,
    resize,
    stack,
)
from motion_adapt.models.networks.exemplar_prior import Recalled, recall, recallable
from motion_adapt.models.networks.unet import DoubleConv, UNetDecoder, UNetEncoder, in_parts


class ExemplarMemory(NamedTuple):
    """A clip's exemplars as the corrector reads them: computed once, used by every window.

    Attributes:
        queries: (B, K, width), one pooled vector per object.
        keys_values: per layer, two tensors of (B, heads, K * E * h * w, width / heads).
        frames: int64 (B, K * E), -1 if an object has fewer exemplars than others.
        recalled: the input of `models.networks.exemplar_prior.recall`, or None if the corrector has no prior.
    """

    queries: Tensor
    keys_values: list[tuple[Tensor, Tensor]]
    frames: Tensor
    recalled: Recalled | None = None


class Correction(NamedTuple):
    """The corrector's output for a window of target frames. The first K of the Q queries are the objects.

    `features`, weighted by `alpha` and summed over Q, reconstruct the tokens (eq. 6).

    Attributes:
        features: (B, Q, T, h, w, C). C is 0 if `with_features=False`.
        alpha: (B, Q, T, h, w).
        logits: (B, T, K, H, W), of the repaired masks.
    """

    features: Tensor
    alpha: Tensor
    logits: Tensor


TRUST = (2.0, 3.0)  # initial logits of a proposal, and of an exemplar mask carried over to another frame


class CorrectorLayer(nn.Module):
    """Self-attention; slot attention to targets; feed-forward; slot attention to exemplars; feed-forward."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = SoftmaxAttention(width, num_heads, dropout)
        self.target_attention = SlotAttention(width, num_heads, dropout)
        self.target_feed_forward = FeedForward(width, dropout)
        self.exemplar_attention = SlotAttention(width, num_heads, dropout)
        self.exemplar_feed_forward = FeedForward(width, dropout)
        self.norm1, self.norm2, self.norm3 = Norm(width), Norm(width), Norm(width)
        self.norm4, self.norm5 = Norm(width), Norm(width)
        self.dropout = nn.Dropout(dropout)

    def project_exemplars(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Project exemplar tokens (B, K * E * h * w, width) to keys and values, which are the same for all windows."""
        return self.exemplar_attention.project_key_value(tokens)

    def forward(
        self,
        x: Tensor,
        targets: Tensor,
        exemplars: tuple[Tensor, Tensor],
        *,
        own: Tensor,
        same: Tensor,
        absent: Tensor | None,
    ) -> Tensor:
        """Update the queries.

        Args:
            x: queries (B, Q * T, width).
            targets: tokens (B, T * h * w, width).
            exemplars: keys and values from `project_exemplars`.
            own: bool (1, T, T), True between a query's frame and the same target frame.
            same: bool (B, T, K * E), True between a query's frame and the same exemplar frame.
            absent: bool (B, K * E), True for exemplars that only fill the table, or None if there are none.

        Returns:
            (B, Q * T, width).
        """
        x = self.norm1(x + self.dropout(self.self_attention(x, x)))
        keys_values = self.target_attention.project_key_value(targets)
        x = self.norm2(x + self.dropout(self.target_attention(x, *keys_values, own)))
        x = self.norm3(x + self.dropout(self.target_feed_forward(x)))
        x = self.norm4(x + self.dropout(self.exemplar_attention(x, *exemplars, same, absent)))
        return self.norm5(x + self.dropout(self.exemplar_feed_forward(x)))


class MaskCorrector(nn.Module):
    """Repairs the masks of target frames, given their tokens. Exemplars enter through `remember`.

    The number of objects is fixed; absent objects have empty masks.

    Args:
        features: channels of the UNet's first level.
        width: channels of the queries.
        feature_channels: channels of the tokens; mapped linearly to `width` if the two differ.
        num_objects: objects (K).
        num_background: queries that belong to no object (Table 8).
        num_heads: attention heads.
        num_layers: layers of the transformer.
        dropout: dropout rate of the transformer.
        maps: input of the UNet decoder: the "attention" maps of each head, or the single "alpha" map of each object.
        prior: whether the logits start from known masks, so that the network predicts only changes: the proposal (if
            it is shown) and the exemplar masks carried to the frame by token similarity
            (models/networks/exemplar_prior.py). A short training then need not learn either. The paper has no prior.
    """

    reconstructs = True  # its features are trained to reconstruct the tokens
    attention_parts = (
        "background",
        "query_time",
        "target_position",
        "exemplar_position",
        "object_code",
        "layers",
        "attention_maps",
    )

    def __init__(
        self,
        *,
        features: int = 64,
        width: int = 384,
        feature_channels: int = 384,
        num_objects: int = 3,
        num_background: int = 4,
        num_heads: int = 8,
        num_layers: int = 3,
        dropout: float = 0.1,
        maps: Literal["attention", "alpha"] = "attention",
        prior: bool = False,
    ) -> None:
        super().__init__()
        if maps not in ("attention", "alpha"):
            raise ValueError(f"maps: wanted attention or alpha, got {maps!r}")
        self.maps = maps
        widths = [features, 2 * features, 4 * features, 8 * features]
        self.features = features
        self.feature_channels = feature_channels
        self.num_objects = num_objects
        self.num_queries = num_objects + num_background
        self.num_heads = num_heads

        self.rgb_stem = DoubleConv(3, features)
        self.mask_stem = DoubleConv(num_objects, features)
        # the deepest block belongs to the published weights but is never run
        self.encoder = UNetEncoder(2 * features, widths)

        self.to_width = nn.Linear(feature_channels, width) if feature_channels != width else nn.Identity()
        self.background = nn.Embedding(num_background, width)
        self.query_time = nn.Linear(2, width)
        self.target_position = nn.Linear(3, width)
        self.exemplar_position = nn.Linear(2, width)
        self.object_code = nn.Linear(1, width)
        self.layers = stack(CorrectorLayer(width, num_heads, dropout), num_layers)

        self.feature_position = nn.Linear(2, width)
        self.feature_trunk = nn.Linear(width, width)
        self.feature_head = nn.Linear(width, feature_channels)
        self.alpha_head = nn.Sequential(
            nn.Linear(width, widths[-1]), nn.ReLU(inplace=True), nn.Linear(widths[-1], 1)
        )

        num_maps = (num_heads if maps == "attention" else 1) + prior
        self.attention_maps = nn.Linear(num_maps, widths[-1])
        self.mix_objects = nn.Linear(num_objects * widths[-1], widths[-1])
        self.decoder = UNetDecoder(widths[::-1], num_objects)
        self.trust = nn.Parameter(torch.tensor(TRUST)) if prior else None

    def remember(self, tokens: Tensor, masks: Tensor, scores: Tensor, frames: Tensor) -> ExemplarMemory:
        """Encode a clip's exemplars. Each object k has its own exemplar frames, with its mask and score in them.

        Args:
            tokens: (B, E, K, h, w, C).
            masks: (B, E, K, H, W), 0 or 1.
            scores: (B, E, K), 0 or more.
            frames: int (B, K, E), positions in the clip. -1 marks an entry that only fills the table and is ignored.
        """
        K = self.num_objects
        check_shape("exemplar tokens", tokens, "B E K h w C", K=K, C=self.feature_channels)
        B, E = tokens.shape[:2]
        check_shape("exemplar masks", masks, "B E K H W", B=B, E=E, K=K)
        check_shape("exemplar scores", scores, "B E K", B=B, E=E, K=K)
        check_shape("exemplar frames", frames, "B K E", B=B, K=K, E=E)

        dtype = self.feature_trunk.weight.dtype
        x = self.to_width(tokens.to(dtype).transpose(1, 2))  # (B, K, E, h, w, width)
        masks = masks.to(dtype).transpose(1, 2)  # (B, K, E, H, W)
        scores = scores.to(dtype).mT.masked_fill(frames < 0, 0)  # (B, K, E)

        keys = self._exemplar_keys(x, masks).flatten(1, 4)  # (B, K * E * h * w, width)
        keys_values = [layer.project_exemplars(keys) for layer in cast(Iterable[CorrectorLayer], self.layers)]
        recalled = recallable(tokens.transpose(1, 2), masks) if self.trust is not None else None
        return ExemplarMemory(_pool(x, masks, scores), keys_values, frames.flatten(1), recalled)

    def forward(
        self,
        rgb: Tensor,
        tokens: Tensor,
        masks: Tensor,
        frames: Tensor,
        memory: ExemplarMemory,
        *,
        use_masks: bool = True,
        with_features: bool = True,
    ) -> Correction:
        """Correct the masks of a window of target frames.

        Args:
            rgb: normalised (B, T, 3, H, W). H and W are multiples of 8.
            tokens: (B, T, h, w, C), with h = H / 8 and w = W / 8.
            masks: (B, T, K, H, W), 0 or 1.
            frames: int (B, T), positions in the clip, counted as in `remember`.
            memory: exemplars from `remember`.
            use_masks: False hides the masks from the UNet, as adaptation does.
            with_features: False skips the reconstruction if only the masks are needed; C is then 0.

        Returns:
            f32 tensors; under autocast, some of them have 16 bits.
        """
        check_shape("masks", masks, "B T K H W", K=self.num_objects)
        B, T, _, H, W = masks.shape
        if H % 8 or W % 8:
            raise ValueError(f"masks: wanted H and W to be multiples of 8, got {H} x {W}")
        check_shape("rgb", rgb, "B T 3 H W", **{"B": B, "T": T, "3": 3, "H": H, "W": W})
        check_shape("tokens", tokens, "B T h w C", B=B, T=T, h=H // 8, w=W // 8, C=self.feature_channels)
        check_shape("frames", frames, "B T", B=B, T=T)
        if len(memory.frames) != B:
            raise ValueError(f"memory: wanted exemplars of B={B} clips, got {len(memory.frames)}")

        dtype = self.feature_trunk.weight.dtype
        masks = masks.to(dtype) if use_masks else torch.zeros_like(masks, dtype=dtype)
        inputs = rgb.to(dtype).flatten(0, 1), masks.flatten(0, 1)  # (B * T, 3, H, W), (B * T, K, H, W)
        skips = [self._encode(*part) for part in in_parts(2 * self.features, *inputs)]

        keys = self._target_keys(self.to_width(tokens.to(dtype)))  # (B, T, h, w, width)
        own = torch.eye(T, dtype=torch.bool, device=rgb.device)[None]  # (1, T, T)
        same = frames[:, :, None] == memory.frames[:, None]  # (B, T, K * E)
        queries = self._initial_queries(memory.queries, T)  # (B, Q * T, width)
        # usually no entry is a filler; None then saves a pass over all weights
        absent = memory.frames < 0 if memory.frames.min() < 0 else None
        for layer, exemplars in zip(self.layers, memory.keys_values, strict=True):
            queries = layer(queries, keys.flatten(1, 3), exemplars, own=own, same=same, absent=absent)
        queries = queries.unflatten(1, (self.num_queries, T))  # (B, Q, T, width)

        features, alpha = self._reconstruct(queries, *keys.shape[2:4], with_features=with_features)
        if self.maps == "attention":
            maps = _attention(queries[:, : self.num_objects], keys, self.num_heads)  # (B, T, h, w, K, heads)
        else:
            maps = alpha[:, : self.num_objects].movedim(1, -1).unsqueeze(-1)  # (B, T, h, w, K, 1)
        if memory.recalled is not None:
            hidden = (same | (memory.frames < 0)[:, None]).unflatten(2, (self.num_objects, -1))
            carried = recall(tokens, memory.recalled, hidden)  # (B, T, K, h, w), -1 to 1
            maps = torch.cat([maps, carried.movedim(2, -1).unsqueeze(-1).to(maps.dtype)], dim=-1)
        maps = F.relu_(self.attention_maps(maps))  # (B, T, h, w, K, channels)
        mixed = self.mix_objects(maps.flatten(4)).flatten(0, 1).permute(0, 3, 1, 2)  # (B * T, channels, h, w)
        logits = self.decoder.in_parts(mixed, skips).unflatten(0, (B, T))  # (B, T, K, H, W)
        if self.trust is not None:
            shown = 2 * masks - 1 if use_masks else masks  # hidden masks are all zero: no evidence either way
            spread = resize(carried, H, W, "bilinear")
            logits = logits + self.trust[0] * shown + self.trust[1] * spread
        return Correction(features, alpha, logits)

    def _encode(self, rgb: Tensor, masks: Tensor) -> list[Tensor]:
        x = torch.cat([self.rgb_stem(rgb), self.mask_stem(masks)], dim=1)
        return self.encoder(x, levels=3)

    def _exemplar_keys(self, x: Tensor, masks: Tensor) -> Tensor:
        # x: (B, K, E, h, w, width); the object's code is added inside its mask
        h, w = x.shape[3:5]
        inside = resize(masks, h, w, "bilinear") > 0.5  # (B, K, E, h, w)
        places = line(self.num_queries, x.device)[: self.num_objects, None]  # (K, 1)
        codes = self.object_code(places)[:, None, None, None]  # (K, 1, 1, 1, width)
        return x + self.exemplar_position(coordinates(h, w, device=x.device)) + inside[..., None] * codes

    def _target_keys(self, x: Tensor) -> Tensor:
        _, T, h, w, _ = x.shape
        return x + self.target_position(coordinates(T, h, w, device=x.device))

    def _initial_queries(self, objects: Tensor, frames: int) -> Tensor:
        background = self.background.weight.expand(len(objects), -1, -1)  # (B, K_bg, width)
        queries = torch.cat([objects, background], dim=1)[:, :, None]  # (B, Q, 1, width)
        code = self.query_time(coordinates(self.num_queries, frames, device=objects.device))  # (Q, T, width)
        return (queries + code).flatten(1, 2)  # (B, Q * T, width), query slowest

    def _reconstruct(self, queries: Tensor, h: int, w: int, *, with_features: bool) -> tuple[Tensor, Tensor]:
        position = self.feature_position(coordinates(h, w, device=queries.device))  # (h, w, width)
        # the trunk is linear: applied to queries and positions separately, it costs far less than on all their sums
        position = F.linear(position, self.feature_trunk.weight)
        z = F.relu_(self.feature_trunk(queries)[:, :, :, None, None] + position)  # (B, Q, T, h, w, width)
        alpha = self.alpha_head(z).squeeze(-1).softmax(dim=1)  # (B, Q, T, h, w)
        return self.feature_head(z) if with_features else z[..., :0], alpha


def _attention(queries: Tensor, keys: Tensor, heads: int) -> Tensor:
    """Compute plain dot products within a frame, per head, without scale, softmax or projection.

    Args:
        queries: (B, K, T, width).
        keys: (B, T, h, w, width).

    Returns:
        (B, T, h, w, K, heads).
    """
    queries = queries.unflatten(-1, (heads, -1))  # (B, K, T, heads, c)
    return torch.einsum("bktgc,btyxgc->btyxkg", queries, keys.unflatten(-1, (heads, -1)))


def _pool(x: Tensor, masks: Tensor, scores: Tensor) -> Tensor:
    """Average the tokens inside each mask, then average over exemplars weighted by their scores (equation 5).

    Args:
        x: (B, K, E, h, w, width).
        masks: (B, K, E, H, W).
        scores: (B, K, E).

    Returns:
        (B, K, width).
    """
    h, w = x.shape[3:5]
    m = resize(masks, h, w, "nearest")  # (B, K, E, h, w)
    per_frame = torch.einsum("bkeyx,bkeyxc->bkec", m, x) / (m.sum(dim=(-2, -1))[..., None] + 1e-12)
    return torch.einsum("bke,bkec->bkc", scores, per_frame) / (scores.sum(dim=-1, keepdim=True) + 1e-12)
