"""Optical flow between pairs of frames: RAFT and DIS, with the training data of their weights.

RAFT (Teed and Deng, ECCV 2020) is torchvision's. DIS (Kroeger et al., ECCV 2016) is OpenCV's and needs no weights.
"""

from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from motion_adapt.models.inputs.downloads import WeightsMissing, hub_file
from motion_adapt.models.networks.foreign_files import foreign

RAFT_MULTIPLE, RAFT_LEAST = 8, 128  # RAFT needs image sides that are multiples of 8, at least 128
RAFT_VOLUME = 4 * 10**9  # bytes for the similarity of all pairs of points; RAFT holds about two such volumes
DIS_LEAST = 32  # in smaller images, DIS has no pyramid level

_RAFT = {"raft_large": "Raft_Large_Weights", "raft_small": "Raft_Small_Weights"}  # torchvision's names
ESTIMATORS = (*_RAFT, "dis")
READY_MADE = "flo"  # no estimator: flow that another estimator has written to files
RAFT_DEFAULT = "C_T_V1"  # the original 'things' weights, the paper's

# The training data of each of torchvision's weights, in words; the letters of its name abbreviate them.
_THINGS = "trained on FlyingChairs and FlyingThings3D: synthetic clips only, no real flow ground truth"
_SINTEL = "fine-tuned on Sintel, KITTI and HD1K: has seen flow ground truth of real driving clips"
_KITTI = f"{_SINTEL}, and again on KITTI alone"
PROVENANCE = {
    "C_T_V1": _THINGS,
    "C_T_V2": _THINGS,
    "C_T_SKHT_V1": _SINTEL,
    "C_T_SKHT_V2": _SINTEL,
    "C_T_SKHT_K_V1": _KITTI,
    "C_T_SKHT_K_V2": _KITTI,
}


def flow_provenance(name: str, weights: str | None = None) -> str:
    """Describe an estimator's training data, for a report. Raises ValueError for an unknown estimator."""
    if name == READY_MADE:
        return "ready-made .flo files: what they were estimated with, and what that has learnt from, is not known"
    weights = _known_weights(name, weights)
    return "no weights: no training data" if weights is None else f"{name} {weights}, {PROVENANCE[weights]}"


class FlowEstimator:
    """Computes flow between pairs of frames: `estimator(first, second)`."""

    def __init__(self, name: str, weights: str | None = None) -> None:
        self.name, self.provenance = name, flow_provenance(name, weights)

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Estimate the displacement of each pixel from the first to the second frame of each pair.

        Args:
            first: u8 (N, H, W, 3) RGB, of any size.
            second: the same shape and dtype as `first`.

        Returns:
            f32 (N, H, W, 2), u to the right and v down, in pixels of that size. RAFT with `keep_padding` returns the
            larger, padded size.

        Raises:
            ValueError: the arrays have another shape or dtype.
        """
        if first.ndim != 4 or first.shape[-1] != 3 or first.dtype != np.uint8:
            raise ValueError(f"first: wanted u8 (N, H, W, 3), got {first.dtype} {first.shape}")
        if second.shape != first.shape or second.dtype != np.uint8:
            raise ValueError(f"second: wanted u8 {first.shape} like first, got {second.dtype} {second.shape}")
        return self._estimate(first, second)

    def _estimate(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        raise NotImplementedError


def flow_estimator(
    name: str,
    *,
    weights: str | None = None,
    updates: int = 20,
    keep_padding: bool = False,
    device: str | torch.device = "cpu",
) -> FlowEstimator:
    """Return an estimator by name. `dis` ignores the arguments other than the name.

    Args:
        name: one of ESTIMATORS.
        weights: torchvision's name of RAFT's weights, such as C_T_SKHT_V1; by default C_T_V1.
        updates: RAFT's number of flow updates.
        keep_padding: return the flow of the padded frames, as the official script stores it. This shifts flow that is
            resized to 128 x 224 by about a quarter of a pixel.
        device: device on which RAFT runs.

    Raises:
        ValueError: the name is unknown, or it has no such weights.
        WeightsMissing: the weights are not in torch's hub cache and cannot be downloaded.
    """
    weights = _known_weights(name, weights)
    if weights is None:
        return DIS(name)
    return RAFT(name, weights=weights, updates=updates, keep_padding=keep_padding, device=device)


def _known_weights(name: str, weights: str | None) -> str | None:
    """Return the full name of an estimator's weights, or None if it has none."""
    if name not in ESTIMATORS:
        raise ValueError(f"flow estimator: wanted one of {', '.join(ESTIMATORS)}, got {name!r}")
    if name not in _RAFT:
        if weights is not None:
            raise ValueError(f"weights of {name}: wanted None, since it has no weights, got {weights!r}")
        return None
    known = [entry.name for entry in _torchvision(name)[1]]
    weights = weights or RAFT_DEFAULT
    if weights not in known:
        raise ValueError(f"weights of {name}: wanted one of {', '.join(known)}, got {weights!r}")
    return weights


def _torchvision(name: str) -> tuple[Any, Any]:
    """Return torchvision's network and its weights' names; imported here, because DIS can do without these seconds."""
    from torchvision.models import optical_flow

    return getattr(optical_flow, name), getattr(optical_flow, _RAFT[name])


class RAFT(FlowEstimator):
    """Torchvision's RAFT. Images are padded evenly on all sides, by replication, to a size that it accepts.

    It keeps state about the current pair, so two threads cannot share an instance.
    """

    def __init__(
        self, name: str, *, weights: str, updates: int, keep_padding: bool, device: str | torch.device
    ) -> None:
        super().__init__(name, weights)
        if updates < 1:
            raise ValueError(f"updates: wanted at least 1, got {updates}")
        build, names = _torchvision(name)
        entry = names[weights]
        file = hub_file(
            entry.url,
            what=f"{name} {weights}",
            megabytes=entry.meta["_file_size"],
            replacement="or do without: the flow estimator `dis` needs no weights",
        )
        self.network = build()
        try:
            self.network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        except Exception as error:  # torch's readers raise nearly anything on bytes that are no checkpoint
            raise WeightsMissing(
                f"{name} {weights}",
                megabytes=entry.meta["_file_size"],
                looked_in=file,
                why=f"the file there {foreign(file) or 'is damaged'}",
                remedies=[f"get it again: curl -fL -o {file} {entry.url}"],
            ) from error
        self.network.to(device).eval().requires_grad_(False)
        self.updates, self.keep_padding, self.device = updates, keep_padding, device
        if self.network.mask_predictor is not None:
            self.network.mask_predictor = LastOnly(self.network.mask_predictor)

    def _estimate(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        height, width = first.shape[1:3]
        # each point is compared with all others, in f32
        points = -(-height // RAFT_MULTIPLE) * -(-width // RAFT_MULTIPLE)
        step = max(RAFT_VOLUME // (4 * points**2), 1)
        parts = [slice(start, start + step) for start in range(0, len(first), step)]
        return np.concatenate([self._at_once(first[part], second[part]) for part in parts])

    def _at_once(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        height, width = first.shape[1:3]
        top, bottom = _margins(height, RAFT_MULTIPLE, RAFT_LEAST)
        left, right = _margins(width, RAFT_MULTIPLE, RAFT_LEAST)
        pair = [
            F.pad(self._image(frames), (left, right, top, bottom), mode="replicate")
            for frames in (first, second)
        ]
        if self.network.mask_predictor is not None:
            self.network.mask_predictor.remaining = self.updates
        with torch.inference_mode():
            flow = self.network(*pair, num_flow_updates=self.updates)[-1]
        self.network.corr_block.corr_pyramid = []  # otherwise it stays in memory together with the next one
        if not self.keep_padding:
            flow = flow[..., top : top + height, left : left + width]
        return np.ascontiguousarray(flow.permute(0, 2, 3, 1).float().cpu().numpy())  # (N, H, W, 2)

    def _image(self, frames: np.ndarray) -> torch.Tensor:
        """Convert frames to f32 (N, 3, H, W) in [-1, 1]."""
        images = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device)
        return images.permute(0, 3, 1, 2).float() / 127.5 - 1


class LastOnly(nn.Module):
    """Computes RAFT's upsampling weights only for the last update; the flow of the other updates is discarded."""

    def __init__(self, predictor: nn.Module) -> None:
        super().__init__()
        self.predictor, self.remaining = predictor, 0

    def forward(self, hidden: torch.Tensor) -> torch.Tensor | None:
        """Return the weights, or None (plain interpolation) while updates remain."""
        self.remaining -= 1
        return None if self.remaining else self.predictor(hidden)


class DIS(FlowEstimator):
    """OpenCV's dense inverse search at its medium preset, on grey images."""

    def _estimate(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        count, height, width = first.shape[:3]
        rows, columns = _margins(height, 1, DIS_LEAST), _margins(width, 1, DIS_LEAST)
        inside = np.s_[rows[0] : rows[0] + height, columns[0] : columns[0] + width]
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        flow = np.empty((count, height, width, 2), np.float32)
        for index in range(count):
            grey = [
                np.pad(cv2.cvtColor(frames[index], cv2.COLOR_RGB2GRAY), (rows, columns), mode="edge")
                for frames in (first, second)
            ]
            flow[index] = search.calc(grey[0], grey[1], None)[inside]  # type: ignore[call-overload]
        return flow


def _margins(side: int, multiple: int, least: int) -> tuple[int, int]:
    """Return the pixels to add before and after a side to make it a multiple of `multiple` and at least `least`."""
    padding = max(-(-side // multiple) * multiple, least) - side
    return padding // 2, padding - padding // 2
