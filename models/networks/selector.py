"""The mask selector: where is a proposal wrong, and which frames can be trusted (section 3.2, equations 2-4)?

A UNet reads a frame with one object's mask, its bottleneck is fused with ViT tokens of the frame, a
transformer compares the frames, and a decoder predicts an error map: false positive, correct, false negative.
The predicted error of a frame is the number of wrong pixels divided by the mask area. The frames with the smallest
error become exemplars. With head="score" (a row of Table 3) the same network predicts the mask's IoU instead of an
error map.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from motion_adapt.models.networks.blocks import EncoderLayer, check_shape, coordinates, stack
from motion_adapt.models.networks.unet import DoubleConv, UNetDecoder, UNetEncoder, in_parts

CORRECT = 1  # channel of an error map that holds true positives and true negatives; 0 and 2 hold the errors


class MaskSelector(nn.Module):
    """Predicts error maps from the masks, frames and ViT tokens of a clip. Each object is judged separately.

    Args:
        features: channels of the UNet's first level.
        width: channels of the bottleneck and the transformer; 16 * features by default.
        feature_channels: channels of the tokens.
        num_heads: attention heads.
        num_layers: layers of the transformer.
        dropout: dropout rate of the transformer.
        head: "error_map", or "score" for one number per mask.
    """

    attention_parts = ("position", "encoder_layers")

    def __init__(
        self,
        *,
        features: int = 16,
        width: int | None = None,
        feature_channels: int = 384,
        num_heads: int = 8,
        num_layers: int = 3,
        dropout: float = 0.1,
        head: Literal["error_map", "score"] = "error_map",
    ) -> None:
        super().__init__()
        if head not in ("error_map", "score"):
            raise ValueError(f"head: wanted error_map or score, got {head!r}")
        self.head = head
        width = 16 * features if width is None else width
        widths = [features, 2 * features, 4 * features, 8 * features, width]
        self.features = features
        self.feature_channels = feature_channels
        self.rgb_stem = DoubleConv(3, features)
        self.mask_stem = DoubleConv(1, features)
        self.encoder = UNetEncoder(2 * features, widths)
        self.fusion = nn.Linear(width + feature_channels, width)
        self.position = nn.Linear(3, width)
        self.encoder_layers = stack(EncoderLayer(width, num_heads, dropout), num_layers)
        if head == "error_map":
            self.decoder = UNetDecoder(widths[::-1], 3)
        else:
            self.score_head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, masks: Tensor, rgb: Tensor, tokens: Tensor) -> Tensor:
        """Predict the error maps of a clip of up to about 100 frames.

        Args:
            masks: (B, T, K, H, W), 0 or 1. H and W are multiples of 16.
            rgb: normalised (B, T, 3, H, W).
            tokens: (B, T, h, w, C), with h = H / 16 and w = W / 16.

        Returns:
            Probabilities f32 (B, T, K, 3, H, W) that sum to one over the channels FP, correct, FN. With head="score",
            the predicted IoU of each mask instead, f32 (B, T, K) in [0, 1].
        """
        check_shape("masks", masks, "B T K H W")
        B, T, K, H, W = masks.shape
        if H % 16 or W % 16:
            raise ValueError(f"masks: wanted H and W to be multiples of 16, got {H} x {W}")
        check_shape("rgb", rgb, "B T 3 H W", **{"B": B, "T": T, "3": 3, "H": H, "W": W})
        check_shape("tokens", tokens, "B T h w C", B=B, T=T, h=H // 16, w=W // 16, C=self.feature_channels)

        dtype = self.fusion.weight.dtype
        masks, tokens = masks.to(dtype), tokens.to(dtype)
        # the frames are the same for every object, so the stem runs once
        parts = [self.rgb_stem(part) for part in self._in_parts(rgb.to(dtype))]
        return torch.stack([self._judge(masks[:, :, k], parts, tokens) for k in range(K)], dim=2)

    def _judge(self, mask: Tensor, rgb: list[Tensor], tokens: Tensor) -> Tensor:
        # mask: (B, T, H, W); rgb: the stem's maps, in the parts of _in_parts; returns (B, T, 3, H, W) or (B, T)
        B, T = mask.shape[:2]
        parts = [self._encode(*part) for part in zip(rgb, self._in_parts(mask.unsqueeze(2)), strict=True)]
        bottleneck = torch.cat([maps[-1] for maps in parts])  # (B * T, width, h, w)

        fused = bottleneck.permute(0, 2, 3, 1).unflatten(0, (B, T))  # (B, T, h, w, width)
        fused = self._compare_frames(fused, tokens)  # (B, T, h, w, width)
        if self.head == "score":
            return self.score_head(fused.mean(dim=(2, 3))).squeeze(-1).sigmoid()  # (B, T)
        fused = fused.flatten(0, 1).permute(0, 3, 1, 2)  # (B * T, width, h, w)

        logits = self.decoder.in_parts(fused, [skips for *skips, _ in parts])  # (B * T, 3, H, W)
        return logits.softmax(dim=1).unflatten(0, (B, T))

    def _encode(self, rgb: Tensor, mask: Tensor) -> list[Tensor]:
        return self.encoder(torch.cat([rgb, self.mask_stem(mask)], dim=1))

    def _compare_frames(self, x: Tensor, tokens: Tensor) -> Tensor:
        _, T, h, w, _ = x.shape
        x = self.fusion(torch.cat([x, tokens], dim=-1))  # (B, T, h, w, width)
        x = (x + self.position(coordinates(T, h, w, device=x.device))).flatten(1, 3)  # (B, T * h * w, width)
        for layer in self.encoder_layers:
            x = layer(x, T)
        return x.unflatten(1, (T, h, w))  # (B, T, h, w, width)

    def _in_parts(self, frames: Tensor) -> list[Tensor]:
        # frames: (B, T, channels, H, W); returns parts of (B * T, channels, H, W)
        return [part for (part,) in in_parts(2 * self.features, frames.flatten(0, 1))]


def predicted_error(error_maps: Tensor, masks: Tensor) -> Tensor:
    """Compute the number of wrong pixels per pixel of the mask (equation 3): (sum of FP + FN) / (area + 1).

    Args:
        error_maps: (B, T, K, 3, H, W) in [0, 1].
        masks: (B, T, K, H, W), 0 or 1.

    Returns:
        f32 (B, T, K), 0 or more. It can reach thousands for an empty mask with many missed pixels.
    """
    check_shape("error_maps", error_maps, "B T K 3 H W", **{"3": 3})
    sizes = dict(zip("BTK", error_maps.shape, strict=False))
    check_shape("masks", masks, "B T K H W", **sizes, H=error_maps.shape[-2], W=error_maps.shape[-1])
    wrong = sum(error_maps.select(3, c).float().sum(dim=(-2, -1)) for c in range(3) if c != CORRECT)
    return wrong / (masks.float().sum(dim=(-2, -1)) + 1)


def scores(errors: Tensor) -> Tensor:
    """Compute each frame's quality within its clip: the softmax over time of the negative error (equation 4).

    Args:
        errors: (B, T, K).

    Returns:
        (B, T, K), summing to one over T for every object.
    """
    check_shape("errors", errors, "B T K")
    return (-errors).softmax(dim=1)
