"""Frozen ViT features, by which the selector and the corrector recognise objects (paper, 3.2 and A.3).

The feature network is any ViT of timm, with timm's weights or a local file, or the project's `compact` network. A
frame is resized from its native size to a whole number of patches, (h, w), so that no later interpolation to the grid
is needed. Tokens are taken after the final norm, without class and register tokens.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from motion_adapt.models.inputs.downloads import WeightsMissing
from motion_adapt.models.inputs.imaging import RGB_MEAN, RGB_STD, normalise_rgb, resize_frames
from motion_adapt.models.inputs.positions import reference_position_table
from motion_adapt.models.inputs.readable import Readable
from motion_adapt.models.networks.checkpoints import (
    build_network,
    read_checkpoint,
    tensors_digest,
)

COMPACT = "compact"
SELECTOR_GRID, CORRECTOR_GRID = (8, 14), (16, 28)  # tokens per frame (h, w) that each network reads

# Training of timm's tags that are known to be trained without labels.
_LABEL_FREE = {
    "dino": "DINO on ImageNet-1k pictures, without labels",
    "mae": "masked autoencoding of ImageNet-1k pictures, without labels",
    "lvd142m": "DINOv2 on the curated pictures of LVD-142M, without labels",
    "lvd1689m": "DINOv3 on the pictures of LVD-1689M, without labels",
}


class FeatureNetwork:
    """A frozen network that turns frames into a grid of tokens."""

    def __init__(
        self,
        name: str,
        module: nn.Module,
        *,
        channels: int,
        patch_size: int,
        mean: tuple[float, ...] = RGB_MEAN,
        std: tuple[float, ...] = RGB_STD,
    ) -> None:
        self.name, self.channels, self.patch_size = name, channels, patch_size
        # Any, because timm's networks do not declare what the subclasses read.
        self.module: Any = module.eval().requires_grad_(False)
        self.mean, self.std = _three(mean), _three(std)
        self.device = next(module.parameters()).device

    def extract(self, frames: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
        """Compute the tokens of frames u8 (n, H', W', 3) on a grid (h, w): f32 (n, h, w, C)."""
        height, width = (side * self.patch_size for side in grid)
        images = normalise_rgb(resize_frames(frames, height, width), mean=self.mean, std=self.std)
        with torch.inference_mode():
            tokens = self.tokens(images.to(self.device), grid)  # (n, h*w, C)
        return tokens.float().reshape(-1, *grid, self.channels).cpu().numpy()  # (n, h, w, C)

    def tokens(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """Compute tokens (n, h*w, C), row by row, of normalised images f32 (n, 3, h * patch, w * patch)."""
        raise NotImplementedError


class TimmFeatures(FeatureNetwork):
    """A ViT of timm. Its position table is resampled to the grid by timm."""

    def tokens(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """Compute tokens (n, h*w, C) by timm's own forward pass, without the class token and registers."""
        tokens = self.module.forward_features(images)  # (n, prefix + h*w, C)
        return tokens[:, self.module.num_prefix_tokens :]


class ReferenceFeatures(FeatureNetwork):
    """A DINO ViT with the reference's position table, for checkpoints that were trained on such tokens."""

    def tokens(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """Compute tokens (n, h*w, C) with the reference's position table, without the class token."""
        vit = self.module
        patches = vit.patch_embed(images).reshape(len(images), -1, self.channels)  # (n, h*w, C)
        tokens = torch.cat([vit.cls_token.expand(len(images), -1, -1), patches], dim=1)
        tokens = tokens + reference_position_table(vit.pos_embed, grid)
        return vit.norm(vit.blocks(tokens))[:, 1:]


class CompactTokens(FeatureNetwork):
    """The project's own small network."""

    def tokens(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """Compute tokens (n, h*w, C); the network takes any multiple of its patch as size."""
        return self.module(images).flatten(2).mT  # (n, h*w, C)


def load_features(
    backbone: str,
    *,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    reference: bool = False,
) -> FeatureNetwork:
    """Load a frozen feature network by name.

    Args:
        backbone: `compact`, or a ViT of timm such as vit_small_patch16_224.dino.
        checkpoint: a local file. For `compact`, a checkpoint of this project. For timm, any file that timm can read,
            or None for timm's own weights.
        device: device on which the network runs.
        reference: whether to normalise frames and resample positions as the paper's implementation does. Only for
            DINO's ViTs.

    Raises:
        ValueError: the name is unknown, or the file does not fit the network.
        WeightsMissing: the weights were not found and cannot be downloaded.
    """
    path = None if checkpoint is None else Path(checkpoint)
    if backbone != COMPACT:
        return _load_timm(backbone, path, device, reference)
    if path is None or reference:
        raise ValueError("features compact: wanted a checkpoint file and not reference=True")
    return _load_compact(path, device)


def stream_features(
    frames: Readable, network: FeatureNetwork, grid: tuple[int, int], batch: int = 8
) -> Iterator[tuple[int, np.ndarray]]:
    """Compute the tokens of a clip's frames u8 (T, H', W', 3), chunk by chunk: yields (start, f16 (n, h, w, C)).

    Each frame is read once and encoded independently, so that `batch` and the length of the clip change tokens only by
    rounding.

    Raises:
        ValueError: a token does not fit into 16 bits.
    """
    for start in range(0, frames.shape[0], batch):
        tokens = network.extract(np.asarray(frames[start : start + batch]), grid)
        with np.errstate(over="ignore"):
            half = tokens.astype(np.float16)
        if not np.isfinite(half).all():
            raise ValueError(
                f"features {network.name}: tokens of frames {start} to {start + len(half) - 1} reach "
                f"{np.abs(tokens).max():.3g} and do not fit into 16 bits"
            )
        yield start, half


def feature_provenance(backbone: str, checkpoint: str | Path | None = None) -> str:
    """Describe a feature network's training data, as far as it is known, for a report."""
    if backbone == COMPACT:
        return "compact: trained by this project on exact correspondences of synthetic clips, without labels"
    if checkpoint is None:
        from motion_adapt.models.inputs.timm_vits import vit_entry

        tag = vit_entry(backbone).tag or ""
        return f"{backbone}: {_LABEL_FREE.get(tag, 'not known to be trained without labels')}"
    note = _metadata(Path(checkpoint)).get("warning", "what it was trained on is not known")
    return f"{backbone} with the local file {Path(checkpoint).name}: {note}"


# ---------------------------------------------------------------------------------------------- loading


def _load_compact(path: Path, device: str | torch.device) -> FeatureNetwork:
    if not path.is_file():
        raise WeightsMissing(
            "the compact feature network",
            megabytes=None,
            looked_in=path,
            why="there is no such file",
            remedies=[
                "name a checkpoint of the model `features`, or train one with `python -m motion_adapt.models.pretrain`"
            ],
        )
    module = build_network(read_checkpoint(path), device, expect="features")
    return CompactTokens(COMPACT, module, channels=module.channels, patch_size=module.patch_size)


def _load_timm(
    backbone: str, path: Path | None, device: str | torch.device, reference: bool
) -> FeatureNetwork:
    from motion_adapt.models.inputs.timm_vits import load_vit, vit_entry  # timm takes seconds to import

    entry, vit = vit_entry(backbone), load_vit(backbone, path)
    if reference and (vit.num_prefix_tokens, vit.no_embed_class) != (1, False):
        raise ValueError(f"features {backbone}: reference=True is for DINO's ViTs, with one class token")
    network = ReferenceFeatures if reference else TimmFeatures
    return network(
        backbone,
        vit.to(device),
        channels=vit.num_features,
        patch_size=vit.patch_embed.patch_size[0],
        mean=RGB_MEAN if reference else entry.mean,
        std=RGB_STD if reference else entry.std,
    )


def _three(values: tuple[float, ...]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue


def _metadata(path: Path) -> dict[str, str]:
    """Return the metadata in a safetensors file's header; empty for other files."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError):
        return {}


class TokenExtractor(Protocol):
    """A frozen feature network, as returned by `load_features`."""

    name: str
    channels: int
    patch_size: int
    module: nn.Module

    def extract(self, frames: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
        """Compute tokens f32 (n, h, w, C) of frames u8 (n, H', W', 3)."""
        ...


def extractor_identity(features: TokenExtractor) -> dict[str, Any]:
    """Return the recipe entry that identifies a feature network: its name, patch, and a digest of its tensors."""
    digest = tensors_digest(features.module.state_dict())
    return {"name": features.name, "patch": features.patch_size, "sha256": digest}


def features_identity(features: TokenExtractor | None) -> dict[str, Any] | None:
    """Return the checkpoint entry that identifies the features that its network reads, or None without features."""
    if features is None:
        return None
    return {"name": features.name, "channels": features.channels, "patch": features.patch_size}
