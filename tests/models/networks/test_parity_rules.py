"""Layering, planning, imaging and position tables against the authors' numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from motion_adapt.models.inference.planning import chunks, exemplars, parts, windows
from motion_adapt.models.inputs import imaging
from motion_adapt.models.inputs.positions import reference_position_table
from motion_adapt.models.networks.layering import fixed_modal, hard_modal, soft_modal
from motion_adapt.models.networks.selector import predicted_error, scores
from tests import parity


@pytest.mark.parametrize("path", parity.fixtures("oclr_layers*"))
def test_layers(path: Path) -> None:
    meta, _ = parity.read(path)
    generate, seed = parity.inputs(), meta["seed"]
    B, T, H, W = meta["B"], meta["T"], meta["H"], meta["W"]
    amodal = np.stack(
        [generate.mask_input(seed + b, T, 3, H, W, empty=False, binary=False) for b in range(B)]
    )
    order = generate.logit_input(seed, (B, T, 3), "order", 1.5)
    amodal = torch.from_numpy(parity.checked(amodal, meta["amodal_crc"]))
    order = torch.from_numpy(parity.checked(order, meta["order_crc"]))
    produced = {
        "soft": soft_modal(amodal, order)[..., ::2, ::2].numpy(),
        "fixed_order_012": fixed_modal(amodal, (0, 1, 2))[..., ::2, ::2].numpy(),
        "hard_bits": np.packbits(hard_modal(amodal, order).numpy().reshape(-1)),
    }
    parity.check(path, produced)


def filled(frames: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Repeat the last frame of windows (N, at most `size`), as the reference does for shorter clips."""
    return np.pad(frames, ((0, 0), (0, size - frames.shape[1])), mode="edge")


@pytest.mark.parametrize("path", parity.fixtures("windows*"))
def test_windows_and_exemplars(path: Path) -> None:
    meta, _ = parity.read(path)
    generate, seed = parity.inputs(), meta["seed"]
    quality = parity.checked(generate.score_input(seed, meta["T"]), meta["scores_crc"])
    produced = {"scores": quality}
    for t in meta["t"]:
        produced[f"exemplars_t{t}"] = exemplars(-quality, np.ones(quality.shape, bool), t)
    for n in meta["Ts"]:
        produced[f"windows7_{n}"] = filled(windows(n), 7)
    for n in meta["f30"]:
        groups = filled(windows(n, 30), 30)
        produced[f"oclr_groups_{n}"] = groups
        assert [(group[0], group[-1] + 1) for group in groups] == chunks(n, 30, 0)
    for n in meta["yt"]:
        produced[f"ytvos_groups_{n}"] = np.array([stop - start for start, stop in parts(n, limit=0)])
    maps = torch.from_numpy(generate.logit_input(seed, (1, 6, 3, 3, 32, 56), "em")).softmax(dim=3)
    masks = torch.from_numpy(generate.mask_input(seed, 6, 3, 32, 56))[None]
    produced["score_formula"] = scores(predicted_error(maps, masks))[0].numpy()
    parity.check(path, produced, elsewhere=["too_few_raises"])  # here, fewer frames than t are not an error


@pytest.mark.parametrize("path", parity.fixtures("io*"))
def test_imaging(path: Path) -> None:
    meta, stored = parity.read(path)
    generate, seed = parity.inputs(), meta["seed"]
    flow = (3 * generate.stream("io", seed).standard_normal(meta["flow_shape"])).astype(np.float32)
    parity.checked(flow, meta["flow_crc"])
    working = (imaging.HEIGHT, imaging.WIDTH)

    rgb = imaging.normalise_rgb(imaging.resize_frames(stored["image_rgb"][None], *working))
    resized_flow = imaging.resize_flow(flow[None], *working)[0].transpose(2, 0, 1)
    masks = imaging.masks_from_labels(stored["index_mask"][None], 5)
    area = masks[0].sum(axis=(1, 2)).astype(np.float32)
    probabilities = generate.mask_input(seed + 7, 2, 3, *working, empty=False)
    probabilities = probabilities * np.array([0.9, 0.8, 0.7], np.float32).reshape(1, 3, 1, 1)
    hard = imaging.hard_masks(probabilities)
    produced = {
        "flow_resized_s4": resized_flow[:, 1::4, 2::4],
        "rgb_normalised_s4": rgb[0, :, 1::4, 2::4].numpy(),
        "masks_128x224_bits": np.packbits(imaging.resize_masks(masks[0, :3], *working)),
        "masks_native_area": area,
        "hardmax_bits": np.packbits(hard),
        "saved_index_120x200": imaging.native_labels(hard[1:], 120, 200)[0],
    }
    parity.check(path, produced, elsewhere=["image_rgb", "index_mask", "flow_raw_bytes_head"])


@pytest.mark.parametrize("path", parity.fixtures("dino_vit*"))
def test_position_table(path: Path) -> None:
    meta, _ = parity.read(path)
    state = parity.official_state(path.stem, meta["weight_seed"], meta["weights_crc"])
    patch = state["patch_embed.proj.weight"].shape[-1]
    grid = (imaging.HEIGHT // patch, imaging.WIDTH // patch)
    table = reference_position_table(state["pos_embed"], grid)
    parity.check(path, {"pos_embed_c8": table[0, :, ::8].numpy()}, elsewhere=["tokens"])
