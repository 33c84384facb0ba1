"""The three networks transcribed literally from the method, without optimisation: baseline of `benchmarks/networks.py`.

Everything is computed for every object, every window and every pair of frames. Weights have the names of `models/`.
There are only functions: w is a state dictionary, and `under(w, "encoder.")` is its part below a prefix.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from motion_adapt.models.inputs.positions import reference_position_table

Weights = Mapping[str, Tensor]
HEADS = 8


def oclr(w: Weights, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Propose masks from flow (T, 4, H, W). Returns logits (T, K, H, W) and order (T, K)."""
    T, K = len(flow), len(w["queries.weight"])
    *skips, x = encode(under(w, "encoder."), flow)
    h, w_ = x.shape[-2:]
    tokens = x.permute(0, 2, 3, 1) + linear(w, "position", grid(T, h, w_))
    tokens = tokens.reshape(1, T * h * w_, -1)
    for layer in layers(w, "encoder_layers."):
        tokens = encoder_layer(layer, tokens, T)
    queries = w["queries.weight"][:, None] + linear(w, "query_time", grid(T))
    queries = queries.reshape(1, K * T, -1)
    for layer in layers(w, "decoder_layers."):
        x = queries
        x = residual(layer, "norm1", x, attention(under(layer, "self_attention."), x, x))
        x = residual(layer, "norm2", x, attention(under(layer, "cross_attention."), x, tokens))
        queries = residual(layer, "norm3", x, feed_forward(under(layer, "feed_forward."), x))
    queries = queries.reshape(K, T, HEADS, -1)
    maps = torch.einsum("ktgc,tngc->tnkg", queries, tokens.reshape(T, h * w_, HEADS, -1)).flatten(2)
    maps = F.relu(linear(w, "attention_maps", maps)).transpose(1, 2).reshape(T, -1, h, w_)
    logits = decode(under(w, "decoder."), maps, skips)
    order = linear(w, "order_head.2", F.relu(linear(w, "order_head.0", queries.flatten(2).amax(1))))
    return logits, order.T.expand(T, K)


def selector(w: Weights, masks: Tensor, rgb: Tensor, tokens: Tensor) -> Tensor:
    """Predict error maps (T, K, 3, H, W) of masks (T, K, H, W), from rgb (T, 3, H, W) and tokens (T, h, w, C)."""
    T, K, H, W = masks.shape
    h, w_ = tokens.shape[1:3]
    masks = masks.transpose(0, 1).reshape(K * T, 1, H, W)  # objects join the batch
    rgb = rgb.repeat(K, 1, 1, 1)
    tokens = tokens.repeat(K, 1, 1, 1)
    stems = [double_conv(under(w, "rgb_stem."), rgb), double_conv(under(w, "mask_stem."), masks)]
    *skips, x = encode(under(w, "encoder."), torch.cat(stems, dim=1))
    x = linear(w, "fusion", torch.cat([x.permute(0, 2, 3, 1), tokens], dim=-1))
    x = x.reshape(K, T, h, w_, -1) + linear(w, "position", grid(T, h, w_))
    x = x.reshape(K, T * h * w_, -1)
    for layer in layers(w, "encoder_layers."):
        x = encoder_layer(layer, x, T)
    x = x.reshape(K * T, h, w_, -1).permute(0, 3, 1, 2)
    maps = decode(under(w, "decoder."), x, skips).softmax(dim=1)
    return maps.reshape(K, T, 3, H, W).transpose(0, 1)


def corrector(
    w: Weights,
    rgb: Tensor,
    tokens: Tensor,
    masks: Tensor,
    frames: Tensor,
    exemplars: tuple[Tensor, Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """Correct one window.

    Args:
        w: state dictionary.
        rgb: (T, 3, H, W).
        tokens: (T, h, w, C).
        masks: (T, K, H, W).
        frames: (T).
        exemplars: tokens (E, K, h, w, C), masks (E, K, H, W), scores (E, K), frames (K, E).

    Returns:
        features (Q, T, h, w, C), alpha (Q, T, h, w) and logits (T, K, H, W).
    """
    e_tokens, e_masks, e_scores, e_frames = exemplars
    (T, K), (h, w_) = masks.shape[:2], tokens.shape[1:3]
    Q, n = K + len(w["background.weight"]), h * w_
    stems = [double_conv(under(w, "rgb_stem."), rgb), double_conv(under(w, "mask_stem."), masks)]
    *skips, _ = encode(under(w, "encoder."), torch.cat(stems, dim=1))  # the deepest map is not used

    inside = F.interpolate(e_masks, (h, w_), mode="nearest")[..., None]
    pooled = (inside * e_tokens).sum((2, 3)) / (inside.sum((2, 3)) + 1e-12)
    objects = (e_scores[..., None] * pooled).sum(0) / (e_scores.sum(0)[:, None] + 1e-12)
    queries = torch.cat([objects, w["background.weight"]])[:, None] + linear(w, "query_time", grid(Q, T))
    queries = queries.reshape(1, Q * T, -1)

    targets = (tokens + linear(w, "target_position", grid(T, h, w_))).reshape(1, T * n, -1)
    covered = F.interpolate(e_masks, (h, w_), mode="bilinear", align_corners=False) > 0.5
    codes = linear(w, "object_code", grid(Q)[:K])[:, None, None]
    keys = e_tokens + linear(w, "exemplar_position", grid(h, w_)) + covered[..., None] * codes
    keys = keys.transpose(0, 1).reshape(1, e_frames.numel() * n, -1)

    own = torch.arange(T).repeat(Q)[:, None] == torch.arange(T).repeat_interleave(n)
    same = frames.repeat(Q)[:, None] == e_frames.flatten().repeat_interleave(n)
    for layer in layers(w, "layers."):
        x = queries
        x = residual(layer, "norm1", x, attention(under(layer, "self_attention."), x, x))
        x = residual(layer, "norm2", x, slots(under(layer, "target_attention."), x, targets, own))
        x = residual(layer, "norm3", x, feed_forward(under(layer, "target_feed_forward."), x))
        x = residual(layer, "norm4", x, slots(under(layer, "exemplar_attention."), x, keys, same))
        queries = residual(layer, "norm5", x, feed_forward(under(layer, "exemplar_feed_forward."), x))
    queries = queries.reshape(Q, T, -1)

    spread = queries[:, :, None, None] + linear(w, "feature_position", grid(h, w_))
    z = F.relu(linear(w, "feature_trunk", spread))
    features = linear(w, "feature_head", z)
    alpha = linear(w, "alpha_head.2", F.relu(linear(w, "alpha_head.0", z))).squeeze(-1).softmax(0)

    heads = queries[:K].reshape(K, T, HEADS, -1), targets.reshape(T, n, HEADS, -1)
    maps = F.relu(linear(w, "attention_maps", torch.einsum("ktgc,tngc->tnkg", *heads))).flatten(2)
    mixed = linear(w, "mix_objects", maps).transpose(1, 2).reshape(T, -1, h, w_)
    return features, alpha, decode(under(w, "decoder."), mixed, skips)


def tokens(w: Weights, images: Tensor, size: tuple[int, int]) -> Tensor:
    """Compute ViT tokens (n, h, w, C) of images (n, 3, H, W), resampling the position table as the reference does."""
    embed, heads = w["patch_embed.proj.weight"], 6
    x = F.conv2d(images, embed, w["patch_embed.proj.bias"], stride=embed.shape[-1]).flatten(2).transpose(1, 2)
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x], dim=1) + reference_position_table(
        w["pos_embed"], size
    )
    for block in layers(w, "blocks."):
        y = layer_norm(block, "norm1", x)
        query, key, value = linear(block, "attn.qkv", y).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5).softmax(-1)
        x = x + linear(block, "attn.proj", (weights @ value).transpose(1, 2).flatten(2))
        y = layer_norm(block, "norm2", x)
        x = x + linear(block, "mlp.fc2", F.gelu(linear(block, "mlp.fc1", y)))
    return layer_norm(w, "norm", x)[:, 1:].unflatten(1, size)


# ---- shared parts


def layer_norm(w: Weights, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-6)


def under(w: Weights, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in w.items() if name.startswith(prefix)}


def layers(w: Weights, prefix: str) -> list[dict[str, Tensor]]:
    stack = under(w, prefix)
    return [under(stack, f"{i}.") for i in range(1 + max(int(name.split(".")[0]) for name in stack))]


def linear(w: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def grid(*sizes: int) -> Tensor:
    return torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, n) for n in sizes), indexing="ij"), dim=-1)


def double_conv(w: Weights, x: Tensor) -> Tensor:
    for conv in ("conv1", "conv2"):
        x = F.leaky_relu(F.instance_norm(F.conv2d(x, w[f"{conv}.weight"], padding=1)), 0.01)
    return x


def encode(w: Weights, x: Tensor) -> list[Tensor]:
    maps: list[Tensor] = []
    for block in layers(w, "blocks."):
        maps.append(double_conv(block, F.max_pool2d(maps[-1], 2) if maps else x))
    return maps


def decode(w: Weights, x: Tensor, skips: list[Tensor]) -> Tensor:
    for i, (block, skip) in enumerate(zip(layers(w, "blocks."), reversed(skips), strict=True)):
        up = F.conv_transpose2d(x, w[f"ups.{i}.weight"], w[f"ups.{i}.bias"], stride=2)
        x = double_conv(block, torch.cat([up, skip], dim=1))
    return F.conv2d(x, w["out.weight"], w["out.bias"])


def residual(w: Weights, name: str, x: Tensor, change: Tensor) -> Tensor:
    x = x + change
    centred = x - x.mean(-1, keepdim=True)
    return w[f"{name}.weight"] * centred / (x.std(-1, keepdim=True) + 1e-5) + w[f"{name}.bias"]


def feed_forward(w: Weights, x: Tensor) -> Tensor:
    return linear(w, "linear2", F.relu(linear(w, "linear1", x)))


def encoder_layer(w: Weights, x: Tensor, frames: int) -> Tensor:
    frame = torch.arange(frames).repeat_interleave(x.shape[1] // frames)
    own = frame[:, None] == frame
    x = residual(w, "norm1", x, attention(under(w, "self_attention."), x, x, own))
    return residual(w, "norm2", x, feed_forward(under(w, "feed_forward."), x))


def attention(w: Weights, x: Tensor, memory: Tensor, hidden: Tensor | None = None) -> Tensor:
    scores, value = project(w, x, memory)
    if hidden is not None:
        scores = scores.masked_fill(hidden, -1e9)
    scores = scores.softmax(-1)
    return linear(w, "out_proj", (scores @ value).transpose(1, 2).flatten(2))


def slots(w: Weights, x: Tensor, memory: Tensor, hidden: Tensor) -> Tensor:
    scores, value = project(w, x, memory)
    scores = scores.masked_fill(hidden, -1e9).softmax(dim=2)
    scores = scores / scores.sum(-1, keepdim=True)
    return linear(w, "out_proj", (scores @ value).transpose(1, 2).flatten(2))


def project(w: Weights, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Return scores (B, heads, N, M) and values (B, heads, M, c)."""
    weights, biases = w["in_proj_weight"].chunk(3), w["in_proj_bias"].chunk(3)
    query, key, value = (
        F.linear(source, weight, bias).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        for source, weight, bias in zip((x, memory, memory), weights, biases, strict=True)
    )
    return query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5, value
