"""Measure how well the corrector's alpha regions follow objects, and what keeps them from it.

    python benchmarks/alphas.py [--weights FOLDER] [--photos FOLDER] [--videos FOLDER] [--clips 8]

The clips are synthetic, and no training saw them. The true masks are given, so that nothing but the corrector can be
wrong. The table has the IoU, object by object, of

- the corrector's masks
- its alpha regions
- the true masks on the grid of the tokens: no alpha region can have more
- the alpha regions of queries that are fitted to the truth, through the decoder as it is
- the same, with the decoder fitted as well

With --videos, the script also prints the share of the tokens' variance that their place in the frame explains.
"""

import argparse
from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motion_adapt.flows.run.start_weights import SHIPPED
from motion_adapt.models.inference.pipeline import correct
from motion_adapt.models.inputs.features import CORRECTOR_GRID, TokenExtractor, load_features
from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH, resize_frames
from motion_adapt.models.networks.checkpoints import build_network, read_checkpoint
from motion_adapt.models.networks.corrector import MaskCorrector
from motion_adapt.models.pretraining.validation import alpha_masks, iou
from motion_adapt.models.synthetic.synthetic_clip import SyntheticClip
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.models.training.loop import VALIDATION_SEED
from motion_adapt.storage.clips.find_clips import find_clips
from motion_adapt.storage.clips.videos import open_frames

STEPS, QUERY_RATE, DECODER_RATE = 400, 3e-2, 3e-3  # of the fits
EVERY = 20  # of a video, the frames whose tokens are looked at


def truth_of(clip: SyntheticClip, count: int) -> np.ndarray:
    """Return the visible objects of a clip in `count` channels, bool (T, count, H, W)."""
    masks = np.zeros((len(clip.modal), count, HEIGHT, WIDTH), bool)
    masks[:, : clip.modal.shape[1]] = clip.modal
    return masks


def on_grid(masks: np.ndarray) -> Tensor:
    """Return masks (T, K, H, W) averaged over the positions of the tokens, f32 (T, K, h, w)."""
    return F.adaptive_avg_pool2d(torch.from_numpy(masks).float(), CORRECTOR_GRID)


def enlarged(maps: Tensor) -> Tensor:
    """Resize maps (T, N, h, w) to the size of the masks."""
    return F.interpolate(maps, (HEIGHT, WIDTH), mode="bilinear")


def fitted(net: MaskCorrector, truth: Tensor, *, with_decoder: bool) -> np.ndarray:
    """Return the regions (T, H, W) of queries that are fitted to `truth`, f32 (T, K, h, w)."""
    torch.manual_seed(0)
    net = deepcopy(net)
    width = net.feature_trunk.in_features
    queries = torch.randn(1, net.num_queries, len(truth), width).requires_grad_()
    groups = [{"params": [queries], "lr": QUERY_RATE}]
    if with_decoder:
        decoder = (net.feature_position, net.feature_trunk, net.alpha_head)
        parts = [weight.requires_grad_() for part in decoder for weight in part.parameters()]
        groups.append({"params": parts, "lr": DECODER_RATE})
    optimiser = torch.optim.Adam(groups)

    def alphas() -> Tensor:
        return net._reconstruct(queries, *CORRECTOR_GRID, with_features=False)[1][0].transpose(0, 1)

    for _ in range(STEPS):
        optimiser.zero_grad()
        F.binary_cross_entropy(alphas()[:, : net.num_objects].clamp(1e-6, 1 - 1e-6), truth).backward()
        optimiser.step()
    with torch.inference_mode():
        return enlarged(alphas()).argmax(1).numpy()


def tokens_of_videos(source: Path, features: TokenExtractor) -> Iterator[np.ndarray]:
    """Yield the tokens (n, h, w, C) of every twentieth frame of every video."""
    for clip in find_clips(source).clips:
        native = np.stack(list(islice(open_frames(clip), 0, None, EVERY)))
        yield features.extract(resize_frames(native, HEIGHT, WIDTH), CORRECTOR_GRID).astype(np.float32)


def explained_by_place(tokens: np.ndarray) -> float:
    """Return the share of the variance of tokens (N, h, w, C) that lies between places, 0 to 1."""
    mean = tokens.mean((0, 1, 2))
    return float(((tokens.mean(0) - mean) ** 2).mean() / ((tokens - mean) ** 2).mean())


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--weights", type=Path, default=SHIPPED / "compact", help="folder of checkpoints")
    parser.add_argument("--photos", type=Path, help="textures of the synthetic clips; default: procedural")
    parser.add_argument("--videos", type=Path, help="videos without labels")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=8, help="of a clip")
    given = parser.parse_args()
    features = load_features("compact", checkpoint=given.weights / "features.safetensors")
    net = build_network(read_checkpoint(given.weights / "corrector.safetensors"), expect="corrector")
    if not isinstance(net, MaskCorrector):
        raise SystemExit(
            f"{given.weights}: of the correctors, only that with attention maps has a decoder of alphas"
        )
    supply = SyntheticClips(seed=VALIDATION_SEED, photos=given.photos, frames=given.frames)
    clips = [supply.make(index) for index in range(given.clips)]
    truths = [truth_of(clip, net.num_objects) for clip in clips]

    made: dict[str, list[np.ndarray]] = {"masks": [], "alpha regions": []}
    for clip, truth in zip(clips, truths, strict=True):
        tokens = features.extract(clip.rgb, CORRECTOR_GRID)
        there = truth.any((2, 3))
        parts = list(correct(net, clip.rgb, tokens, truth, there.astype(np.float32), there))
        regions = np.concatenate([part.segments for part in parts])
        made["masks"].append(np.concatenate([part.masks for part in parts]))
        made["alpha regions"].append(alpha_masks(regions, net.num_objects))
    grids = [on_grid(truth) for truth in truths]
    made["true masks on the grid of the tokens"] = [enlarged(grid).numpy() > 0.5 for grid in grids]
    for name, with_decoder in (("best queries", False), ("best queries and decoder", True)):
        regions = fitted(net, torch.cat(grids), with_decoder=with_decoder)
        made[name] = np.split(alpha_masks(regions, net.num_objects), given.clips)
    print("| | IoU |\n|---|---|")
    for name, masks in made.items():
        scores = [iou(mask, clip) for mask, clip in zip(masks, clips, strict=True)]
        print(f"| {name} | {np.mean(scores):.2f} |")
    if given.videos:
        share = explained_by_place(np.concatenate(list(tokens_of_videos(given.videos, features))))
        print(f"\nThe place explains {share:.0%} of the variance of the tokens.")


if __name__ == "__main__":
    main()
