"""Optical flow between pairs of frames: RAFT and DIS, with the training data of their weights.

RAFT (Teed and Deng, ECCV 2020) is torchvision's. DIS (Kroeger et al., ECCV 2016) is OpenCV's and needs no weights.
"""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from motion_adapt.models.inputs.downloads import WeightsMissing, hub_file
from motion_adapt.models.networks.foreign_files import foreign

RAFT_MULTIPLE, RAFT_LEAST = 8, 128  # RAFT needs image sides that are multiples of 8, at least 128
RAFT_VOLUME = 15 * 10**8  # bytes for the similarity of all pairs of points; RAFT holds about two such volumes
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
    """Computes flow between pairs of frames: `estimator(first, second)`, or `estimator.between(frames, pairs)`."""

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
        if second.shape != first.shape or second.dtype != first.dtype:
            raise ValueError(
                f"second: wanted {first.dtype} {first.shape} like first, got {second.dtype} {second.shape}"
            )
        count = np.arange(len(first))
        pairs = np.stack([count, len(first) + count], axis=1)
        return np.stack(list(self.between(np.concatenate([first, second]), pairs)))

    def between(self, frames: np.ndarray, pairs: np.ndarray) -> Iterator[np.ndarray]:
        """Estimate flow between frames of a clip. RAFT encodes each frame once for all of its pairs.

        Args:
            frames: u8 (N, H, W, 3) RGB, of any size.
            pairs: ints (M, 2), the indices of the first and second frame of each pair.

        Yields:
            f32 (H, W, 2) for each pair, as the estimator returns it for these two frames.

        Raises:
            ValueError: the frames have another shape or dtype.
        """
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise ValueError(f"frames: wanted u8 (N, H, W, 3), got {frames.dtype} {frames.shape}")
        yield from self._estimate(frames, pairs)

    def _estimate(self, frames: np.ndarray, pairs: np.ndarray) -> Iterator[np.ndarray]:
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

    It keeps state about the current frames: two threads cannot share an instance, and `between` is read to its end.
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
        self.network.feature_encoder = Encoded(self.network.feature_encoder)
        self.network.context_encoder = Encoded(self.network.context_encoder)
        if self.network.mask_predictor is not None:
            self.network.mask_predictor = LastOnly(self.network.mask_predictor)

    def _estimate(self, frames: np.ndarray, pairs: np.ndarray) -> Iterator[np.ndarray]:
        height, width = frames.shape[1:3]
        top, bottom = _margins(height, RAFT_MULTIPLE, RAFT_LEAST)
        left, right = _margins(width, RAFT_MULTIPLE, RAFT_LEAST)
        inside = np.s_[...] if self.keep_padding else np.s_[top : top + height, left : left + width]
        # each point is compared with all others, in f32
        points = -(-height // RAFT_MULTIPLE) * -(-width // RAFT_MULTIPLE)
        step = max(RAFT_VOLUME // (4 * points**2), 1)
        features, context = self.network.feature_encoder, self.network.context_encoder
        with torch.inference_mode():
            images = F.pad(self._image(frames), (left, right, top, bottom), mode="replicate")
            features.encode(images, np.unique(pairs), step)
            context.encode(images, np.unique(pairs[:, 0]), step)
        for start in range(0, len(pairs), step):
            first, second = pairs[start : start + step].T
            features.asked, context.asked = np.concatenate([first, second]), first
            for flow in self._at_once(images[first], images[second]):
                yield np.ascontiguousarray(flow[inside])
        features.known, context.known = {}, {}

    def _at_once(self, first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
        """Return f32 (M, H, W, 2), the flow of padded images, f32 (M, 3, H, W) each."""
        if self.network.mask_predictor is not None:
            self.network.mask_predictor.remaining = self.updates
        with torch.inference_mode():
            flow = self.network(first, second, num_flow_updates=self.updates)[-1]
        self.network.corr_block.corr_pyramid = []  # otherwise it stays in memory together with the next one
        return flow.permute(0, 2, 3, 1).float().cpu().numpy()

    def _image(self, frames: np.ndarray) -> torch.Tensor:
        """Convert frames to f32 (N, 3, H, W) in [-1, 1]."""
        images = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device)
        return images.permute(0, 3, 1, 2).float() / 127.5 - 1


class Encoded(nn.Module):
    """One of RAFT's encoders, computed once for each frame instead of once for each pair that the frame is in."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.known: dict[int, torch.Tensor] = {}  # by frame, f32 (C, H / 8, W / 8)
        self.asked: np.ndarray = np.empty(0, int)  # the frames that the next call is about

    def encode(self, images: torch.Tensor, frames: np.ndarray, step: int) -> None:
        """Encode these of the images, f32 (N, 3, H, W), `step` at a time, and forget all others."""
        parts = [frames[start : start + step].tolist() for start in range(0, len(frames), step)]
        self.known = {
            frame: code
            for part in parts
            for frame, code in zip(part, self.encoder(images[part]), strict=True)
        }

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the codes of the frames that are asked for, whose images these are."""
        return torch.stack([self.known[frame] for frame in self.asked.tolist()])


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

    def _estimate(self, frames: np.ndarray, pairs: np.ndarray) -> Iterator[np.ndarray]:
        height, width = frames.shape[1:3]
        rows, columns = _margins(height, 1, DIS_LEAST), _margins(width, 1, DIS_LEAST)
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        grey = [
            np.pad(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (rows, columns), mode="edge") for frame in frames
        ]
        for first, second in pairs:
            flow = search.calc(grey[first], grey[second], None)  # type: ignore[call-overload]
            yield flow[rows[0] : rows[0] + height, columns[0] : columns[0] + width]


def _margins(side: int, multiple: int, least: int) -> tuple[int, int]:
    """Return the pixels to add before and after a side to make it a multiple of `multiple` and at least `least`."""
    padding = max(-(-side // multiple) * multiple, least) - side
    return padding // 2, padding - padding // 2
