"""OCLR-flow: object masks and depth order from optical flow alone (equation 1; Xie et al., NeurIPS 2022).

A UNet encodes the flow of each frame. A transformer exchanges information between the frames. K queries per frame
become attention maps over the tokens of their frame, and a UNet decodes these into amodal masks. Each query follows one
object through the whole clip. One scalar per object is its order value: larger means further back.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_adapt.models.networks.blocks import (
    EncoderLayer,
    FeedForward,
    Norm,
    SoftmaxAttention,
    check_shape,
    coordinates,
    line,
    resize,
    stack,
)
from motion_adapt.models.networks.camera_motion import camera_residual
from motion_adapt.models.networks.layering import hard_modal
from motion_adapt.models.networks.unet import AcrossFrames, UNetDecoder, UNetEncoder, in_parts


class DecoderLayer(nn.Module):
    """Self-attention of the queries, cross-attention to the tokens, feed-forward; all post-norm."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = SoftmaxAttention(width, num_heads, dropout)
        self.cross_attention = SoftmaxAttention(width, num_heads, dropout)
        self.feed_forward = FeedForward(width, dropout)
        self.norm1, self.norm2, self.norm3 = Norm(width), Norm(width), Norm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Update the queries x (B, K * T, width) from tokens (B, T * h * w, width)."""
        x = self.norm1(x + self.dropout(self.self_attention(x, x)))
        x = self.norm2(x + self.dropout(self.cross_attention(x, tokens)))
        return self.norm3(x + self.dropout(self.feed_forward(x)))


class OCLR(nn.Module):
    """Predicts amodal mask logits and order values from the flow of a group of frames.

    Args:
        in_channels: channels of the flow, 2 per gap.
        num_queries: objects (K).
        features: channels of the UNet's first level, doubled at every pooling.
        width: channels of the bottleneck and the transformer; 16 * features by default.
        num_heads: attention heads.
        num_layers: layers of the encoder and of the decoder of the transformer.
        dropout: dropout rate of the transformer.
        reduction: factor by which the UNet's first level and the masks are smaller than the flow: 1 (the paper's), 2
            or 4. A token covers 16 x 16 pixels of the flow in all cases.
        context: whether to add two shorter paths between frames. The two coarsest maps of the encoder see their
            neighbours in time, and the decoder reads the tokens from before and after the transformer. In the paper,
            information passes between frames only through attention maps, which takes long to learn.
        residual: whether the UNet also sees the flow without the camera's motion, in as many further channels. The
            paper's sees the flow alone.
    """

    attention_parts = (
        "position",
        "encoder_layers",
        "queries",
        "query_time",
        "decoder_layers",
        "attention_maps",
        "order_head",
    )

    def __init__(
        self,
        *,
        in_channels: int = 4,
        num_queries: int = 3,
        features: int = 32,
        width: int | None = None,
        num_heads: int = 8,
        num_layers: int = 3,
        dropout: float = 0.1,
        reduction: int = 1,
        context: bool = False,
        residual: bool = False,
    ) -> None:
        super().__init__()
        if reduction not in (1, 2, 4):
            raise ValueError(f"reduction: wanted 1, 2 or 4, got {reduction}")
        width = 16 * features if width is None else width
        poolings = 5 - reduction.bit_length()
        widths = [*(features << level for level in range(poolings)), width]
        self.reduction = reduction
        self.in_channels = in_channels
        self.num_queries = num_queries
        self.features = features
        self.num_heads = num_heads
        self.residual = residual
        self.encoder = UNetEncoder(in_channels * (1 + residual), widths)
        self.position = nn.Linear(3, width)
        self.encoder_layers = stack(EncoderLayer(width, num_heads, dropout), num_layers)
        self.queries = nn.Embedding(num_queries, width)
        self.query_time = nn.Linear(1, width)
        self.decoder_layers = stack(DecoderLayer(width, num_heads, dropout), num_layers)
        self.attention_maps = nn.Linear(num_queries * num_heads, width)
        self.order_head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        self.decoder = UNetDecoder(widths[::-1], num_queries)
        self.neighbours = nn.ModuleList(AcrossFrames(c) for c in widths[-2:]) if context else None
        self.context = nn.Linear(2 * width, width) if context else None
        if self.context is not None:
            # zero, as in AcrossFrames: noise would train the layers below to output nothing
            nn.init.zeros_(self.context.weight)
            nn.init.zeros_(self.context.bias)

    def forward(self, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Propose amodal masks.

        Args:
            flow: float (B, T, in_channels, H, W) in pixels at this resolution, u and v per gap: (u+, v+, u-, v-) for
                the gaps +g and -g. H and W are multiples of 16. T is at most about 30.

        Returns:
            Amodal mask logits f32 (B, T, K, H / reduction, W / reduction), and order values f32 (B, T, K). A larger
            value means further back; the values are equal for all frames of a clip.
        """
        check_shape("flow", flow, "B T channels H W", channels=self.in_channels)
        H, W = flow.shape[-2:]
        if H % 16 or W % 16:
            raise ValueError(f"flow: wanted H and W to be multiples of 16, got {H} x {W}")
        return self.of_reduced(self.reduce(flow))

    def masks(self, flow: Tensor) -> Tensor:
        """Propose disjoint modal masks, bool (B, T, K, H, W), from flow (B, T, channels, H, W) as in `forward`."""
        logits, order = self(flow)
        if self.reduction > 1:  # enlarge logits, not masks: their zero line gives a smooth outline
            H, W = flow.shape[-2:]
            logits = resize(logits, H, W, "bilinear")
        return hard_modal(logits.float().sigmoid(), order.float())

    def reduce(self, flow: Tensor) -> Tensor:
        """Average flow (B, T, channels, H, W) over squares to (B, T, channels, H / reduction, W / reduction)."""
        frames = flow.to(self.position.weight.dtype).flatten(0, 1)
        return F.avg_pool2d(frames, self.reduction).unflatten(0, flow.shape[:2])

    def of_reduced(self, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Do the same as `forward`, for flow that `reduce` returned or that was computed at the reduced size."""
        B, T = flow.shape[:2]
        x = flow.flatten(0, 1)  # (B * T, channels, H, W), from here on with H and W reduced
        if self.residual:
            moved = x.unflatten(1, (-1, 2)).flatten(0, 1)  # (B * T * gaps, 2, H, W)
            x = torch.cat([x, camera_residual(moved, pixels=self.reduction).view_as(x).to(x.dtype)], dim=1)
        parts = [self.encoder(part) for (part,) in in_parts(2 * self.features, x)]
        bottleneck = torch.cat([maps[-1] for maps in parts])  # (B * T, width, h, w)
        if self.neighbours is not None:
            around_coarse, around_bottleneck = self.neighbours
            coarse = around_coarse(torch.cat([maps[-2] for maps in parts]), T)
            for maps, share in zip(parts, coarse.split([len(maps[-2]) for maps in parts]), strict=True):
                maps[-2] = share
            bottleneck = around_bottleneck(bottleneck, T)
        h, w = bottleneck.shape[-2:]

        alone = bottleneck.permute(0, 2, 3, 1).unflatten(0, (B, T))  # (B, T, h, w, width)
        tokens = alone + self.position(coordinates(T, h, w, device=flow.device))
        tokens = tokens.flatten(1, 3)  # (B, T * h * w, width)
        for layer in self.encoder_layers:
            tokens = layer(tokens, T)

        queries = self._initial_queries(T).expand(B, -1, -1)  # (B, K * T, width)
        for layer in self.decoder_layers:
            queries = layer(queries, tokens)
        queries = queries.unflatten(1, (self.num_queries, T))  # (B, K, T, width)

        tokens = tokens.unflatten(1, (T, h * w))  # (B, T, h * w, width)
        maps = self._attention_maps(queries, tokens)  # (B, T, h * w, width)
        if self.context is not None:
            maps = maps + self.context(torch.cat([alone.flatten(2, 3), tokens], dim=-1))
        maps = maps.mT.reshape(B * T, -1, h, w)  # (B * T, width, h, w)
        logits = self.decoder.in_parts(maps, [skips for *skips, _ in parts])
        logits = logits.unflatten(0, (B, T))  # (B, T, K, H, W)
        order = self.order_head(queries.amax(dim=2)).mT.expand(B, T, -1)  # (B, T, K)
        return logits, order

    def _initial_queries(self, frames: int) -> Tensor:
        times = self.query_time(line(frames, self.queries.weight.device)[:, None])  # (T, width)
        return (self.queries.weight[:, None] + times).flatten(0, 1)  # (K * T, width), query slowest

    def _attention_maps(self, queries: Tensor, tokens: Tensor) -> Tensor:
        # plain dot products within a frame, without scale or softmax: K * heads maps, object slowest
        queries = queries.unflatten(-1, (self.num_heads, -1))  # (B, K, T, heads, c)
        tokens = tokens.unflatten(-1, (self.num_heads, -1))  # (B, T, h * w, heads, c)
        maps = torch.einsum("bktgc,btngc->btnkg", queries, tokens).flatten(3)  # (B, T, h * w, K * heads)
        return F.relu(self.attention_maps(maps))
