"""Prompts for the Segment Anything models, made from the mask of one object in one frame (paper A.3).

The paper gives the mask itself and about ten points of a uniform grid inside it. The tensors follow the public
reference implementations:

- facebookresearch/segment-anything, `utils/transforms.py` and `modeling/sam.py`: a frame is resized to a longest side
  of 1024, and padded at the bottom and on the right. Points and boxes are scaled by the same factors, in pixels (x, y).
  A mask prompt is a map of logits, padded in the same way, at a quarter of that size: 256 x 256
  (`modeling/prompt_encoder.py`).
- facebookresearch/sam2, `utils/transforms.py` and `modeling/sam2_base.py`: a frame is stretched to 1024 x 1024 without
  padding. A mask from outside becomes logits of 10 inside and -10 outside (`_use_mask_as_output`).

SAM and HQ-SAM get the same logits as SAM 2, since they too expect the logits of an earlier answer of theirs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from motion_adapt.models.sam.asking import PromptKind

SURE = 10.0  # logit of a pixel inside a mask; -10 outside
# Spacings tried for the grid, as multiples of the one for a mask that fills its box.
_SPACINGS = np.geomspace(2.0, 0.5, 25)


@dataclass(frozen=True)
class Prompt:
    """A question to a model about one object, in pixels of the frame; None leaves a part out.

    Attributes:
        mask: bool (H, W).
        points: f32 (N, 2), x and y of pixels inside the object.
        box: f32 (4,), the first and last column and row: x1, y1, x2, y2.
    """

    mask: NDArray[np.bool_] | None = None
    points: NDArray[np.float32] | None = None
    box: NDArray[np.float32] | None = None


def prompt_of(mask: NDArray[np.bool_], kind: PromptKind, points: int) -> Prompt:
    """Return the prompt for a mask, bool (H, W), that is not empty."""
    return Prompt(
        mask=mask if "mask" in kind else None,
        points=grid_points(mask, points) if "points" in kind else None,
        box=box_of(mask) if kind == "box" else None,
    )


def grid_points(mask: NDArray[np.bool_], count: int) -> NDArray[np.float32]:
    """Return about `count` points inside a mask: those of a regular grid over its box that fall on it.

    The spacing is the one for which the number of points is nearest to `count`; of equal ones, the widest. If no point
    of any such grid is on the mask, the result is its pixel nearest to its centroid.

    mask: bool (H, W), not empty. Returns f32 (N, 2), x and y of pixels, row by row.

    Raises:
        ValueError: the mask is empty.
    """
    left, top, right, bottom = box_of(mask).astype(int).tolist()
    inside = mask[top : bottom + 1, left : right + 1]
    height, width = inside.shape
    found = np.empty((0, 2), int)
    for share in _SPACINGS:
        spacing = share * np.sqrt(inside.sum() / count)
        rows, columns = _places(height, spacing), _places(width, spacing)
        hits = np.argwhere(inside[np.ix_(rows, columns)])  # (N, 2) row, column
        if abs(len(hits) - count) < abs(len(found) - count):
            found = np.stack([columns[hits[:, 1]], rows[hits[:, 0]]], axis=1)  # (N, 2) x, y
    if not len(found):
        ys, xs = np.nonzero(inside)
        nearest = np.hypot(ys - ys.mean(), xs - xs.mean()).argmin()
        found = np.array([[xs[nearest], ys[nearest]]])
    return (found + np.array([left, top])).astype(np.float32)


def _places(length: int, spacing: float) -> NDArray[np.int64]:
    """Return the pixels in the middle of equal parts of `length` pixels that are about `spacing` wide."""
    count = int(np.clip(round(length / spacing), 1, length))
    return ((np.arange(count) + 0.5) * length / count).astype(np.int64)


def box_of(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the first and last column and row of a mask: f32 (4,), x1, y1, x2, y2.

    Raises:
        ValueError: the mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise ValueError("prompt: the mask is empty, which asks nothing")
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], np.float32)


def prompt_tensors(
    prompt: Prompt, *, native: tuple[int, int], used: tuple[int, int], side: int, mask_side: int
) -> Mapping[str, Tensor]:
    """Return a prompt as the tensors that a model takes, for one frame and one object.

    Args:
        prompt: the prompt, in pixels of the frame.
        native: height and width of the frame.
        used: height and width of the resized frame, without padding.
        side: of the model's square input, in pixels.
        mask_side: of the model's square mask input, in pixels.

    Returns:
        `input_points` f32 (1, 1, N, 2) and `input_labels` i64 (1, 1, N), all 1; `input_boxes` f32 (1, 1, 4);
        `input_masks` f32 (1, 1, mask_side, mask_side), logits. A part that the prompt leaves out is missing.
    """
    found: dict[str, Tensor] = {}
    scale = np.array([used[1] / native[1], used[0] / native[0]], np.float32)  # of x and y
    if prompt.points is not None:
        found["input_points"] = torch.from_numpy(prompt.points * scale)[None, None]
        found["input_labels"] = torch.ones(1, 1, len(prompt.points), dtype=torch.int64)
    if prompt.box is not None:
        found["input_boxes"] = torch.from_numpy(prompt.box * np.tile(scale, 2))[None, None]
    if prompt.mask is not None:
        share = mask_side / side
        height, width = (max(1, round(length * share)) for length in used)
        logits = np.full((mask_side, mask_side), -SURE, np.float32)
        logits[:height, :width] = _resized(prompt.mask.astype(np.float32), height, width) * 2 * SURE - SURE
        found["input_masks"] = torch.from_numpy(logits)[None, None]
    return found


def _resized(mask: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resize a map; where it shrinks, each pixel is the mean of the area that it covers."""
    shrinks = height <= mask.shape[0] and width <= mask.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(mask, (width, height), interpolation=how).astype(np.float32, copy=False)
