"""OCLR's losses, layer order and matching against numbers of the authors' implementation."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from motion_adapt.models.networks.layering import fixed_modal, soft_modal
from motion_adapt.models.training.losses import boundary_region, oclr_losses
from motion_adapt.models.training.matching import (
    match_by_bce,
    match_by_iou,
    matched_ious,
    pair_ious,
    permute_objects,
)

WEIGHTED = {"amodal_bce": "amodal", "amodal_boundary": "boundary", "modal": "modal", "order": "order"}


class Parity:
    """The folder of reference numbers, with its generator of inputs and its comparison."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inputs, self.comparison = self.load("weights"), self.load("compare")

    def load(self, name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, self.root / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def meta(self, name: str) -> dict[str, Any]:
        return self.comparison.meta(str(self.root / f"{name}.npz"))

    def check(self, name: str, produced: dict[str, Any]) -> None:
        report = self.comparison.compare(str(self.root / f"{name}.npz"), produced)
        assert set(report) == set(produced)
        assert not {key: entry for key, entry in report.items() if not entry["ok"]}


@pytest.fixture(scope="module")
def parity() -> Parity:
    root = os.environ.get("MOTION_ADAPT_PARITY")
    if not root:
        pytest.skip("MOTION_ADAPT_PARITY names no folder of reference numbers")
    return Parity(Path(root))


def stack_samples(make, batch):
    return torch.from_numpy(np.stack([make(b) for b in range(batch)]))


@pytest.mark.parametrize("name", ["oclr_losses_same", "oclr_losses_resize"])
def test_oclr_losses_and_gradients(parity: Parity, name: str) -> None:
    meta = parity.meta(name)
    inputs = parity.inputs
    B, T, H, W, gh, gw, seed = (meta[k] for k in ("B", "T", "H", "W", "gh", "gw", "seed"))
    truth = stack_samples(lambda b: inputs.mask_input(seed + 500 + b, T, 3, gh, gw), B)
    assert inputs.checksum(truth.numpy()) == meta["gt_crc"]
    logits = torch.from_numpy(inputs.logit_input(seed, (B, T, 3, H, W)))
    logits = logits + 2 * (truth[:, :, [2, 0, 1], :: gh // H, :: gw // W] - 0.5)
    assert inputs.checksum(logits.numpy()) == meta["logits_crc"]
    order = torch.from_numpy(inputs.logit_input(seed, (B, 3), "order", 1.0))
    logits.requires_grad_(True)
    order = order[:, None].repeat(1, T, 1).requires_grad_(True)

    total, terms, permutation = oclr_losses(logits, order, truth)
    total.backward()

    arranged = permute_objects(logits.detach(), permutation), permute_objects(order.detach(), permutation)
    produced = {stored: terms[ours].item() for stored, ours in WEIGHTED.items()}
    produced |= {
        "total": total.item(),
        "permutation": permutation.numpy(),
        "grad_logits_s4": logits.grad[..., 1::4, 2::4].numpy(),
        "grad_order": order.grad.sum(1).numpy(),
        "gt_modal_bits": np.packbits(fixed_modal(truth).numpy().astype(np.uint8)),
        "boundary_bits": np.packbits(boundary_region(truth).numpy().astype(np.uint8)),
        "soft_modal_s4": soft_modal(arranged[0].sigmoid(), arranged[1])[..., 1::4, 2::4].numpy(),
    }
    parity.check(name, produced)


def test_matching(parity: Parity) -> None:
    meta = parity.meta("oclr_matching")
    inputs = parity.inputs
    B, T, H, W, seed = (meta[k] for k in ("B", "T", "H", "W", "seed"))
    truth = stack_samples(lambda b: inputs.mask_input(seed + b, T, 3, H, W), B)
    shuffles = [(2, 0, 1), (1, 2, 0), (0, 2, 1), (2, 1, 0)]
    moved = torch.stack([truth[b][:, list(shuffles[b])] for b in range(B)])
    logits = 3 * (moved - 0.5) + torch.from_numpy(inputs.logit_input(seed, tuple(truth.shape)))
    assert inputs.checksum(logits.numpy()) == meta["logits_crc"]
    masks = logits.sigmoid() > 0.5
    produced = {
        "perm_bce": match_by_bce(logits.sigmoid(), truth).numpy(),
        "perm_iou": match_by_iou(masks, truth > 0.5).numpy(),
        "pair_iou": pair_ious(masks, truth > 0.5).numpy(),
        "frame_iou": matched_ious(masks, truth > 0.5).numpy(),
    }
    parity.check("oclr_matching", produced)
