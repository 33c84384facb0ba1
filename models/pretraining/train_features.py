"""Label-free training of the compact feature network: the same point should look the same in two frames.

A sample is two frames of a synthetic clip with changed colours, the second sometimes at half size. The exact flow gives
the corresponding points. Two losses teach the tokens to carry masks from frame to frame:

    correspondence    among all tokens of the other frames of the batch, the nearest to a point's token must be the one
                      at the corresponding point; tokens close to that point, which see nearly the same, are ignored
    propagation       the tokens nearest to a point's token must be on the same layer, sprite or scene
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH, normalise_rgb, resize_frames
from motion_adapt.models.networks.checkpoints import Checkpoint, all_arguments
from motion_adapt.models.networks.lineage import TrainedOn
from motion_adapt.models.networks.sizes import COMPACT
from motion_adapt.models.pretraining.recipe import first_network, seen_and_unseen, synthetic_recipe, trained
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.models.synthetic.textures import recolour
from motion_adapt.models.training.batches import Batch
from motion_adapt.models.training.course import Course
from motion_adapt.models.training.loop import autocast

TEMPERATURE = 0.1
POINTS = 192  # anchors of each pair
TOO_NEAR = 0.13  # distance, in [-1, 1] coordinates, below which a token is not used as a negative example
FRAMES = 8  # frames of a clip, two of which form a pair
MOST_LAYERS = 5
RATE = 2e-3


@dataclass(frozen=True)
class FeatureBatches:
    """Batches of pairs of frames, with corresponding points.

    A batch holds:
        first, second: u8 (B, H, W, 3); `second` sometimes at half size.
        start, end: f32 (B, N, 2), positions x, y in [-1, 1] of N points in the first and in the second frame.
        layer: int (B, N), the layer of each point.
        layers: f32 (B, h, w, L), the share of each layer in the patches of 8 x 8 pixels of `second` at full size.
    """

    clips: SyntheticClips
    pairs: int

    def __call__(self, step: int, rng: np.random.Generator) -> Batch:
        """Return the pairs of one step."""
        halve = rng.random() < 0.5
        made = [self.pair(step * self.pairs + i, rng) for i in range(self.pairs)]
        batch = {name: np.stack([pair[name] for pair in made]) for name in made[0]}
        if halve:
            height, width = batch["second"].shape[1:3]
            batch["second"] = resize_frames(batch["second"], height // 2, width // 2)
        return batch

    def pair(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return two frames of a clip, and points that are visible in both."""
        t, s = rng.choice(self.clips.frames, 2, replace=False)
        clip = self.clips.make(index, only=(t, s))
        moved = clip.displacement(t, s)
        seen = clip.visible(t, s, moved)
        if not seen.any():  # no point is visible in both frames: compare the frame with itself
            s, moved, seen = t, np.zeros_like(moved), np.ones(moved.shape[:2], bool)
        rows, columns = choose_points(rng, seen, clip.owner[t])
        start = np.stack([columns, rows], axis=1).astype(np.float32)
        size = np.array(moved.shape[1::-1], np.float32)
        end = start + moved[rows, columns]
        shares = np.stack([clip.owner[s] == n for n in range(MOST_LAYERS)], axis=2).astype(np.float32)
        h, w = moved.shape[0] // 8, moved.shape[1] // 8
        return {
            "first": repainted(rng, clip.rgb[t]),
            "second": repainted(rng, clip.rgb[s]),
            "start": (start * 2 + 1) / size - 1,
            "end": (end * 2 + 1) / size - 1,
            "layer": clip.owner[t][rows, columns].astype(np.int64),
            "layers": cv2.resize(shares, (w, h), interpolation=cv2.INTER_AREA),
        }


def choose_points(
    rng: np.random.Generator, seen: np.ndarray, owner: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Choose `POINTS` visible pixels, on average equally many on each layer. Returns their rows and columns."""
    layers = np.unique(owner[seen])
    places = [np.nonzero(seen & (owner == layer)) for layer in layers]
    turns = rng.integers(len(layers), size=POINTS)
    picks = [places[turn] for turn in turns]
    chosen = [rng.integers(len(rows)) for rows, _ in picks]
    found = np.array([(rows[i], columns[i]) for (rows, columns), i in zip(picks, chosen, strict=True)])
    return found[:, 0], found[:, 1]


def repainted(rng: np.random.Generator, frame: np.ndarray) -> np.ndarray:
    """Change the appearance of a frame u8 (H, W, 3): its colours, and sometimes grey, blur or noise."""
    frame = recolour(rng, frame)
    if rng.random() < 0.1:
        frame = np.repeat(frame.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    if rng.random() < 0.3:
        frame = cv2.GaussianBlur(frame, (0, 0), rng.uniform(0.5, 2.0))
    if rng.random() < 0.3:
        noise = rng.standard_normal(frame.shape, dtype=np.float32) * rng.uniform(2, 12)
        frame = np.clip(frame + noise, 0, 255).astype(np.uint8)
    return frame


def feature_losses(
    module: nn.Module, batch: Batch, precision: str = "float32"
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute the sum of both losses for a batch of `FeatureBatches`.

    The terms also contain `found`, the share of points whose nearest token is the corresponding one. `precision`:
    see `models.training.loop.autocast`.
    """
    frames = [normalise_rgb(batch[name]) for name in ("first", "second")]
    with autocast(frames[0].device, precision):
        first, second = (module(x).float() for x in frames)  # (B, C, h, w)
    B, N = batch["start"].shape[:2]
    anchors, partners = sample(first, batch["start"]), sample(second, batch["end"])  # (B, N, C)
    others = F.normalize(second.flatten(2).mT, dim=-1)  # (B, h * w, C)
    h, w = second.shape[2:]

    positive = (anchors * partners).sum(-1, keepdim=True).flatten(0, 1)  # (B * N, 1)
    negative = anchors.flatten(0, 1) @ others.flatten(0, 1).T  # (B * N, B * h * w)
    near = torch.zeros(B, N, B, h * w, dtype=torch.bool, device=first.device)
    distance = torch.cdist(batch["end"], places(h, w, first.device).expand(B, -1, -1))
    near[torch.arange(B), :, torch.arange(B)] = distance < TOO_NEAR
    negative = negative.masked_fill(near.reshape(B * N, -1), -1.0)  # (B * N, B * h * w)
    similarity = torch.cat([positive, negative], dim=1) / TEMPERATURE
    correspondence = F.cross_entropy(similarity, torch.zeros(B * N, dtype=torch.long, device=first.device))

    weights = (anchors @ others.mT / TEMPERATURE).softmax(dim=-1)  # (B, N, h * w), only within the same clip
    shares = F.adaptive_avg_pool2d(batch["layers"].movedim(-1, 1), (h, w)).flatten(2).mT  # (B, h * w, L)
    right = (weights @ shares).gather(2, batch["layer"][..., None])  # (B, N, 1)
    propagation = -right.clamp(min=1e-4).log().mean()
    found = (similarity.argmax(1) == 0).float().mean()
    terms = {"correspondence": correspondence, "propagation": propagation, "found": found}
    return correspondence + propagation, terms


def sample(tokens: Tensor, at: Tensor) -> Tensor:
    """Sample tokens (B, C, h, w) bilinearly at positions (B, N, 2) in [-1, 1]. Returns unit vectors (B, N, C)."""
    found = F.grid_sample(tokens, at[:, :, None], padding_mode="border", align_corners=False)  # (B, C, N, 1)
    return F.normalize(found[..., 0].mT, dim=-1)


def places(h: int, w: int, device: torch.device) -> Tensor:
    """Return the centres of a grid's tokens as x, y in [-1, 1]: (1, h * w, 2)."""
    y, x = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
    return torch.stack([(x * 2 + 1) / w - 1, (y * 2 + 1) / h - 1], dim=-1).reshape(1, -1, 2)  # (1, h*w, 2)


def pretrain_features(
    course: Course,
    *,
    photos: Path | None = None,
    silhouettes: Path | None = None,
    network: dict[str, Any] | None = None,
    start: Checkpoint | None = None,
    pairs: int = 4,
) -> Checkpoint:
    """Train the compact feature network on synthetic clips.

    Args:
        course: hyperparameters.
        photos: folder of pictures; None for procedural textures.
        silhouettes: folder of masks for half of the shapes.
        network: constructor arguments of `CompactFeatures`.
        start: start weights; the schedule begins anew. See `models.pretraining.recipe.first_network`.
        pairs: pairs of frames in a step.

    Raises:
        ValueError: frames of half size have no whole number of the network's patches.
    """
    network = dict(COMPACT["features"] if network is None else network)
    recipe = synthetic_recipe(course, photos, silhouettes, start)
    recipe |= {"on": TrainedOn.SYNTHETIC_CORRESPONDENCES.value, "pairs": pairs}
    module = first_network("features", network, course.seed, start=start)
    patch = all_arguments("features", network)["patch_size"]
    if any(side // 2 % patch for side in (HEIGHT, WIDTH)):
        raise ValueError(
            f"patch_size: wanted a divisor of {HEIGHT // 2} and {WIDTH // 2}, as the frames of a pair may have half "
            f"their size, got {patch}"
        )
    supply = {"photos": photos, "silhouettes": silhouettes, "frames": FRAMES}
    clips, unseen = (FeatureBatches(supplied, pairs) for supplied in seen_and_unseen(course.seed, **supply))
    loss = partial(feature_losses, precision=course.precision)
    course = course.at_rate(RATE)
    return trained("features", module, clips, loss, course, network=network, recipe=recipe, validation=unseen)
