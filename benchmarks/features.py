"""Measure how well features separate an object from its surroundings: label propagation on clips with labels.

    python benchmarks/features.py DAVIS [--weights features.safetensors] [--vit NAME FILE] [--clips dog car-shadow]

The first frame's mask is carried through a clip. Every token takes the mask of the most similar tokens in the first
frame and in the seven frames before, weighted by a softmax of cosine similarity. The score is J without the first and
the last frame. Two rows need no network: the first mask copied to every frame, and tokens of raw colour and gradients.
Nothing is trained here, and no training uses these scores.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from davis_clip import read_clip

from motion_adapt.models.inputs.features import COMPACT, CORRECTOR_GRID, CompactTokens, load_features
from motion_adapt.models.inputs.imaging import resize_frames
from motion_adapt.models.networks.checkpoints import new_network
from motion_adapt.models.networks.sizes import COMPACT as SIZE
from motion_adapt.models.scoring.protocols import averages, score_union

PAST, NEAREST, TEMPERATURE = 7, 5, 0.1
PATCH = 8

Describe = Callable[[np.ndarray], np.ndarray]


def colour_and_gradients(frames: np.ndarray) -> np.ndarray:
    """Compute tokens f32 (T, h, w, C): the mean Lab colour of each patch, and its gradients in eight directions."""
    h, w = CORRECTOR_GRID
    tokens = []
    for frame in resize_frames(frames, h * PATCH, w * PATCH):
        lab = cv2.cvtColor(frame, cv2.COLOR_RGB2LAB).astype(np.float32) / 255 - 0.5
        dx, dy = (cv2.Sobel(lab[..., 0], cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
        strength, turn = np.hypot(dx, dy), (np.arctan2(dy, dx) + np.pi) * (8 / (2 * np.pi))
        bins = [strength * (turn.astype(int) % 8 == direction) for direction in range(8)]
        maps = np.concatenate([4 * lab, np.stack(bins, axis=2)], axis=2)
        tokens.append(cv2.resize(maps, (w, h), interpolation=cv2.INTER_AREA))
    return np.stack(tokens)


@torch.no_grad()
def propagate(tokens: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Carry the first frame's mask bool (H, W) along tokens (T, h, w, C): bool (T, H, W)."""
    h, w = tokens.shape[1:3]
    x = F.normalize(torch.from_numpy(tokens).float().flatten(1, 2), dim=-1)  # (T, h * w, C)
    labels = [torch.from_numpy(cv2.resize(first.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA))]
    labels = [labels[0].flatten()]
    for t in range(1, len(x)):
        seen = sorted({0, *range(max(0, t - PAST), t)})
        similarity, places = (x[t] @ x[seen].flatten(0, 1).T).topk(NEAREST, dim=-1)  # (h * w, NEAREST)
        weights = (similarity / TEMPERATURE).softmax(dim=-1)
        labels.append((torch.cat([labels[s] for s in seen])[places] * weights).sum(-1))
    maps = torch.stack(labels).view(-1, 1, h, w)
    return (F.interpolate(maps, first.shape, mode="bilinear")[:, 0] > 0.5).numpy()


def j(truth: np.ndarray, masks: np.ndarray) -> float:
    """Compute J of a clip by DAVIS 2016's rule."""
    pairs = zip(truth.astype(np.uint8), masks.astype(np.uint8), strict=True)
    return averages([score_union(pairs)])["J"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help="a data set in DAVIS layout")
    parser.add_argument("--weights", type=Path, help="a checkpoint of the compact feature network")
    parser.add_argument("--vit", nargs=2, metavar=("NAME", "FILE"), help="a ViT of timm with a local file")
    parser.add_argument("--clips", nargs="+", help="default: all")
    given = parser.parse_args()

    def by(network: object) -> Describe:
        return lambda frames: np.concatenate(
            [network.extract(part, CORRECTOR_GRID) for part in np.array_split(frames, -(-len(frames) // 8))]
        )

    torch.manual_seed(0)
    untrained = new_network("features", SIZE["features"])
    ways: dict[str, Describe | None] = {
        "first mask copied": None,
        "colour and gradients": colour_and_gradients,
        "compact, random weights": by(CompactTokens(COMPACT, untrained, channels=untrained.channels,
                                                    patch_size=untrained.patch_size)),
    }  # fmt: skip
    if given.weights:
        ways["compact"] = by(load_features(COMPACT, checkpoint=given.weights))
    if given.vit:
        ways[given.vit[0]] = by(load_features(given.vit[0], checkpoint=given.vit[1]))
    names = given.clips or sorted(p.name for p in (given.data / "JPEGImages/480p").iterdir())
    print("| features | " + " | ".join(names) + " | mean |")
    print("|---|" + "---|" * (len(names) + 1))
    clips = {name: read_clip(given.data, name) for name in names}
    for way, describe in ways.items():
        found = []
        for frames, masks in clips.values():
            copied = np.repeat(masks[:1], len(masks), axis=0)
            found.append(j(masks, propagate(describe(frames), masks[0]) if describe else copied))
        print(f"| {way} | " + " | ".join(f"{value:.3f}" for value in [*found, np.mean(found)]) + " |")


if __name__ == "__main__":
    main()
