"""Mask errors for pre-training selector and corrector: typical errors of flow-only proposals.

Proposals of a trained OCLR are the best examples. These add errors that are rare on synthetic clips: missing parts,
merged neighbours, wrong objects, empty masks. Some errors come and go along a clip, so that other frames are good.
Others are in all frames (a habit), for example resting legs or a shadow that moves along. Even the best frames have
them, so that the corrector must not trust the exemplars blindly.
"""

from collections.abc import Callable

import cv2
import numpy as np

from motion_adapt.models.synthetic.shapes import random_silhouette
from motion_adapt.models.synthetic.textures import smooth_field
from motion_adapt.models.synthetic.trajectories import log_uniform

Corruption = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]


def corrupt_clip(rng: np.random.Generator, masks: np.ndarray) -> np.ndarray:
    """Damage modal masks bool (T, K, H, W), each object independently. Returns the same shape.

    An object may have one error in all frames. In addition, it draws how often it is damaged. A damaged frame gets one
    to three errors.
    """
    corrupted = masks.copy()
    everything = np.any(masks, axis=1)
    for k in range(masks.shape[1]):
        often = rng.uniform(0.0, 1.0)
        habit = HABITS[rng.integers(len(HABITS))] if rng.random() < HABIT_SHARE else None
        character = int(rng.integers(2**32))  # a seed shared by all frames, so that they get the same error
        for t in range(masks.shape[0]):
            others = everything[t] & ~masks[t, k]
            if habit:
                corrupted[t, k] = habit(np.random.default_rng(character), corrupted[t, k], others)
            if rng.random() > often:
                continue
            for _ in range(int(rng.integers(1, 4))):
                corruption = CORRUPTIONS[rng.choice(len(CORRUPTIONS), p=SHARES)]
                corrupted[t, k] = corruption(rng, corrupted[t, k], others)
    return corrupted


def grow(rng: np.random.Generator, mask: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Enlarge the mask."""
    return cv2.dilate(mask.astype(np.uint8), disc(rng, mask)) > 0


def shrink(rng: np.random.Generator, mask: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Shrink the mask; thin parts disappear."""
    return cv2.erode(mask.astype(np.uint8), disc(rng, mask)) > 0


def disc(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """Return a round structuring element whose size fits the mask."""
    side = 2 * int(np.clip(rng.uniform(0.05, 0.3) * np.sqrt(mask.sum()), 1, 12)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def cut(rng: np.random.Generator, mask: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Remove the part beyond a straight line."""
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        return mask
    angle = rng.uniform(0, 2 * np.pi)
    place = np.cos(angle) * columns + np.sin(angle) * rows
    kept = mask.copy()
    gone = place > np.quantile(place, rng.uniform(0.2, 0.9))
    kept[rows[gone], columns[gone]] = False
    return kept


def patchy(rng: np.random.Generator, mask: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Add holes, as if parts of the object moved with the background."""
    noise = smooth_field(rng, mask.shape[0], mask.shape[1], rng.uniform(4, 20))[..., 0]
    return mask & (noise < rng.uniform(-0.3, 1.0))


def ragged(rng: np.random.Generator, mask: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Displace the outline in directions that vary along it."""
    y, x = np.mgrid[0 : mask.shape[0], 0 : mask.shape[1]].astype(np.float32)
    shift = smooth_field(rng, mask.shape[0], mask.shape[1], rng.uniform(6, 20), 2) * np.float32(
        rng.uniform(1, 5)
    )
    moved = cv2.remap(mask.astype(np.uint8), x + shift[..., 0], y + shift[..., 1], cv2.INTER_NEAREST)
    return moved > 0


def displaced(rng: np.random.Generator, mask: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Shift the whole mask, as if flow lagged behind."""
    reach = rng.normal(0, 0.3, 2) * np.sqrt(max(mask.sum(), 1))
    matrix = np.array([[1, 0, reach[0]], [0, 1, reach[1]]], np.float32)
    size = (mask.shape[1], mask.shape[0])
    return cv2.warpAffine(mask.astype(np.uint8), matrix, size, flags=cv2.INTER_NEAREST) > 0


def swallow(rng: np.random.Generator, mask: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Add the other objects to the mask."""
    return mask | others


def mistake(rng: np.random.Generator, mask: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Replace the mask by the other objects."""
    return others.copy()


def spill(rng: np.random.Generator, mask: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Add a piece of background, as if it moved with the object."""
    return mask | somewhere(rng, mask.shape)


def stray(rng: np.random.Generator, mask: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Replace the mask by a piece of background."""
    return somewhere(rng, mask.shape)


def nothing(rng: np.random.Generator, mask: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Empty the mask, as if the object rested and was lost."""
    return np.zeros_like(mask)


def somewhere(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw a random silhouette at a random position, possibly partly outside."""
    height, width = shape
    size = int(log_uniform(rng, 0.12, 0.8) * height)
    piece = random_silhouette(rng, size) > 0.5
    top, left = rng.integers(-size // 2, height - size // 2), rng.integers(-size // 2, width - size // 2)
    canvas = np.zeros((height + 2 * size, width + 2 * size), bool)
    canvas[top + size : top + 2 * size, left + size : left + 2 * size] = piece
    return canvas[size : size + height, size : size + width]


CORRUPTIONS: tuple[Corruption, ...] = (
    grow, shrink, cut, patchy, ragged, displaced, swallow, mistake, spill, stray, nothing,
)  # fmt: skip
SHARES = (0.13, 0.13, 0.16, 0.1, 0.14, 0.07, 0.07, 0.04, 0.1, 0.03, 0.03)
HABITS: tuple[Corruption, ...] = (grow, shrink, cut, patchy, ragged, swallow, spill)
HABIT_SHARE = 0.5  # share of objects with a habit
