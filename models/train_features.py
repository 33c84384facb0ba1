"""Label-free training of the compact feature network: the same point looks the same in two frames.

Two frames of a synthetic clip, one perhaps at half size, both with changed colours; the exact flow says which
points are the same. Dense contrastive loss: of all tokens of the other frames of the batch, a token must be
nearest to the one at its own point. Neighbours of that point, which see nearly the same, are left out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.checkpoints import Checkpoint
from models.compact_features import CompactFeatures
from models.imaging import RGB_MEAN, RGB_STD, resize_frames
from models.recipe import finished, fresh_network, photo_identity, schedule_for
from models.sizes import COMPACT
from models.synthetic import SyntheticClips
from models.textures import recolour
from models.training import Batch, OnStep, train

TEMPERATURE = 0.1
POINTS = 192  # anchors of each pair
TOO_NEAR = 0.18  # in [-1, 1] coordinates, within which a token is no counterexample


@dataclass(frozen=True)
class FeatureBatches:
    """Pairs of frames: first, second u8 (B, H, W, 3), second perhaps at half size; places (B, N, 2) x, y."""

    clips: SyntheticClips
    pairs: int

    def __call__(self, step: int, rng: np.random.Generator) -> Batch:
        """The pairs of one step."""
        halve = rng.random() < 0.5
        made = [self.pair(step * self.pairs + i, rng) for i in range(self.pairs)]
        first, second, start, end = (np.stack(part) for part in zip(*made, strict=True))
        if halve:
            second = resize_frames(second, second.shape[1] // 2, second.shape[2] // 2)
        return {"first": first, "second": second, "start": start, "end": end}

    def pair(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Two frames of a clip, and N points seen in both: their places in each, in [-1, 1]."""
        clip = self.clips.make(index)
        t, s = rng.choice(len(clip.rgb), 2, replace=False)
        moved = clip.displacement(t, s)
        rows, columns = np.nonzero(clip.visible(t, s, moved))
        if len(rows) == 0:  # the camera has left: compare the frame with itself
            s, moved = t, np.zeros_like(moved)
            rows, columns = np.nonzero(np.ones(moved.shape[:2], bool))
        chosen = rng.integers(len(rows), size=POINTS)
        start = np.stack([columns[chosen], rows[chosen]], axis=1).astype(np.float32)
        end = start + moved[rows[chosen], columns[chosen]]
        size = np.array(moved.shape[1::-1], np.float32)
        first, second = (recolour(rng, clip.rgb[frame]) for frame in (t, s))
        return first, second, (start * 2 + 1) / size - 1, (end * 2 + 1) / size - 1


def correspondence_loss(module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Contrast the token of each point in the first frame with all tokens of the second frames."""
    first, second = module(normalised(batch["first"])), module(normalised(batch["second"]))  # (B, C, h, w)
    B, N = batch["start"].shape[:2]
    anchors, partners = sample(first, batch["start"]), sample(second, batch["end"])  # (B, N, C)
    others = F.normalize(second.flatten(2).mT, dim=-1)  # (B, h * w, C)
    positive = (anchors * partners).sum(-1, keepdim=True).flatten(0, 1)  # (B * N, 1)
    negative = anchors.flatten(0, 1) @ others.flatten(0, 1).T  # (B * N, B * h * w)
    near = torch.zeros(B, N, B, others.shape[1], dtype=torch.bool, device=first.device)
    distance = torch.cdist(
        batch["end"], places(second.shape[2], second.shape[3], first.device).expand(B, -1, -1)
    )
    near[torch.arange(B), :, torch.arange(B)] = distance < TOO_NEAR
    negative = negative.masked_fill(near.reshape(B * N, -1), -1.0)  # (B * N, B * h * w)
    similarity = torch.cat([positive, negative], dim=1) / TEMPERATURE
    loss = F.cross_entropy(similarity, torch.zeros(B * N, dtype=torch.long, device=first.device))
    return loss, {"found": (similarity.argmax(1) == 0).float().mean()}


def normalised(frames: Tensor) -> Tensor:
    """u8 (B, H, W, 3) -> network input f32 (B, 3, H, W), on the frames' device."""
    mean, std = (torch.tensor(v, device=frames.device).view(3, 1, 1) for v in (RGB_MEAN, RGB_STD))
    return (frames.movedim(-1, 1).float() / 255 - mean) / std


def sample(tokens: Tensor, at: Tensor) -> Tensor:
    """Tokens (B, C, h, w) at places (B, N, 2) in [-1, 1], bilinear, of unit length: (B, N, C)."""
    found = F.grid_sample(tokens, at[:, :, None], padding_mode="border", align_corners=False)  # (B, C, N, 1)
    return F.normalize(found[..., 0].mT, dim=-1)


def places(h: int, w: int, device: torch.device) -> Tensor:
    """Centres of the tokens of a grid as x, y in [-1, 1]: (1, h * w, 2)."""
    y, x = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
    return torch.stack([(x * 2 + 1) / w - 1, (y * 2 + 1) / h - 1], dim=-1).reshape(1, -1, 2)  # (1, h*w, 2)


def pretrain_features(
    *,
    steps: int,
    seed: int = 0,
    device: str = "cpu",
    photos: Path | None = None,
    network: dict[str, Any] | None = None,
    pairs: int = 4,
    rate: float | None = None,
    state: Path | None = None,
    checkpoint_every: int = 100,
    on_step: OnStep | None = None,
    workers: int = 0,
) -> Checkpoint:
    """Train the compact feature network on synthetic clips; `state` makes the run resumable."""
    network = dict(COMPACT["features"] if network is None else network)
    recipe = {"on": "synthetic correspondences", "steps": steps, "seed": seed, "pairs": pairs, "rate": rate}
    recipe["photos"] = photo_identity(photos)
    module = fresh_network(CompactFeatures, network, seed)
    train(
        module,
        FeatureBatches(SyntheticClips(seed=seed, photos=photos, frames=4), pairs),
        correspondence_loss,
        steps=steps,
        schedule=schedule_for(steps, 2e-3 if rate is None else rate),
        seed=seed,
        device=device,
        checkpoint=state,
        checkpoint_every=checkpoint_every,
        recipe=recipe | {"network": network},
        on_step=on_step,
        workers=workers,
    )
    return finished("features", module, network=network, training=recipe)
