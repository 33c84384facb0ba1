"""The dense CRF moves masks to the edges of the frame, and only there."""

import cv2
import numpy as np
import pytest

from motion_adapt.models.inference.crf import refine_masks
from motion_adapt.models.scoring.metrics import region_similarity
from tests import needs

pytestmark = needs.crf

H, W = 120, 200


def scene(*boxes):
    """Return a frame u8 (H, W, 3) with one coloured box per object, and the boxes' masks bool (K, H, W)."""
    rng = np.random.default_rng(0)
    frame = np.full((H, W, 3), 90.0)
    masks = np.zeros((len(boxes), H, W), bool)
    colours = ((200, 60, 40), (40, 160, 220), (220, 220, 60))
    for mask, (top, bottom, left, right), colour in zip(masks, boxes, colours, strict=False):
        mask[top:bottom, left:right] = True
        frame[mask] = colour
    return np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8), masks


def blurred(masks, shift=3, height=64, width=112):
    """Return masks like those of a low-resolution network: soft and slightly displaced."""
    soft = [cv2.GaussianBlur(np.roll(mask, shift, axis=1).astype(np.float32), (0, 0), 4) for mask in masks]
    return np.stack([cv2.resize(mask, (width, height)) for mask in soft])


def test_a_blurred_mask_is_sharpened_to_the_edge():
    frame, masks = scene((30, 90, 60, 130))
    soft = blurred(masks)
    before = cv2.resize(soft[0], (W, H)) > 0.5
    labels = refine_masks(frame, soft)
    assert labels.shape == (H, W) and labels.dtype == np.uint8
    assert region_similarity(masks[0], before) < 0.92
    assert region_similarity(masks[0], labels) > 0.98
    np.testing.assert_array_equal(labels, refine_masks(frame, soft))


def test_objects_are_refined_together_and_keep_their_labels():
    frame, masks = scene((20, 70, 20, 80), (40, 100, 80, 150))
    soft = np.insert(blurred(masks), 1, 0, axis=0)
    labels = refine_masks(frame, soft)
    assert set(np.unique(labels)) == {0, 1, 3}
    assert region_similarity(masks[0], labels == 1) > 0.97
    assert region_similarity(masks[1], labels == 3) > 0.97


def test_hard_masks_are_taken_too():
    frame, masks = scene((30, 90, 60, 130))
    assert region_similarity(masks[0], refine_masks(frame, np.roll(masks, 2, axis=2), floor=0.1)) > 0.97


def test_empty_masks_stay_empty():
    frame, masks = scene((30, 90, 60, 130))
    assert not refine_masks(frame, np.zeros((3, 64, 112), np.float32)).any()
    assert not refine_masks(frame, np.zeros_like(masks)).any()


@pytest.mark.parametrize("size", [(9, 16), (77, 131)])
def test_odd_and_tiny_frames(size):
    frame = np.full((*size, 3), 127, np.uint8)
    assert refine_masks(frame, np.full((3, 128, 224), 0.9, np.float32)).shape == size


def test_bad_input_is_named():
    frame, masks = scene((30, 90, 60, 130))
    for bad in (masks[0], np.full((1, 4, 4), np.nan), np.full((1, 4, 4), 1.5)):
        with pytest.raises(ValueError, match="probabilities"):
            refine_masks(frame, bad)
    with pytest.raises(ValueError, match="frame"):
        refine_masks(frame[..., 0], masks)
    with pytest.raises(ValueError, match="floor"):
        refine_masks(frame, masks, floor=0)
