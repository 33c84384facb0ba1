"""Silhouettes of synthetic objects: smooth blobs, polygons, bodies with limbs, rings, and the user's own masks."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from motion_adapt.models.synthetic.textures import list_pictures

SUPERSAMPLE = 4
MASK_SUFFIXES = (".png", ".bmp")  # lossless formats: 0 is the background, everything else the mask
# share of shapes taken from the user's masks; drawing the others keeps a few masks from dominating
MASKS_SHARE = 0.5
KINDS = ("blob", "polygon", "limbs", "ring")
SHARES = (0.35, 0.2, 0.37, 0.08)


class Silhouettes:
    """Random shapes. Each depends only on the generator that is passed in.

    masks: folder of mask pictures (searched recursively) for half of the shapes; None for drawn ones only.
    """

    def __init__(self, masks: Path | None = None) -> None:
        self.paths = list_pictures(masks, "silhouettes", MASK_SUFFIXES) if masks is not None else []

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw a shape like `random_silhouette`, f32 (size, size) in [0, 1], in half of the cases from a mask."""
        if not self.paths or rng.random() >= MASKS_SHARE:
            return random_silhouette(rng, size)
        mask = read_mask(self.paths[rng.integers(len(self.paths))])
        return fitted(rng, mask[:, ::-1] if rng.random() < 0.5 else mask, size)


@lru_cache(maxsize=256)
def read_mask(path: Path) -> np.ndarray:
    """Read a mask picture and crop it to the mask, u8 (h, w) of 0 and 255. All labels become one shape.

    Raises:
        ValueError: the file is not a picture, or the mask is empty.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"silhouettes: {path} cannot be decoded; remove it from the folder")
    mask = np.asarray(picture.any(axis=2), np.uint8)
    if not mask.any():
        raise ValueError(
            f"silhouettes: {path} is entirely black, so it holds no mask; remove it from the folder"
        )
    x, y, w, h = cv2.boundingRect(mask)
    return mask[y : y + h, x : x + w] * np.uint8(255)


def random_silhouette(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw a random shape that fills most of a size x size canvas but touches no border, f32 in [0, 1]."""
    side = size * SUPERSAMPLE
    canvas = np.zeros((side, side), np.uint8)
    draw = {"blob": draw_blob, "polygon": draw_polygon, "limbs": draw_limbs, "ring": draw_ring}
    draw[rng.choice(KINDS, p=SHARES)](rng, canvas)
    return fitted(rng, canvas, size)


def closed_curve(rng: np.random.Generator, points: int, roughness: float) -> np.ndarray:
    """Draw points (N, 2) of a star-shaped closed curve around 0: radius near 1 with random low harmonics."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    radius = np.ones(points)
    for harmonic in range(2, 9):
        swing = roughness * rng.normal() / harmonic
        radius += swing * np.cos(harmonic * angle + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.25, 2.0)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def fill(canvas: np.ndarray, points: np.ndarray, value: int = 255) -> None:
    """Fill a closed curve, given relative to the canvas's centre in units of a quarter of its side."""
    side = canvas.shape[0]
    pixels = np.round(points * side / 4 + side / 2).astype(np.int32)
    cv2.fillPoly(canvas, [pixels], value)


def draw_blob(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """Draw a shape with a smooth outline."""
    fill(canvas, closed_curve(rng, 120, rng.uniform(0.2, 1.0)))


def draw_polygon(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """Draw a polygon, convex or not."""
    corners = int(rng.integers(3, 9))
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners) * 0.3 + np.arange(corners) * 2 * np.pi / corners)
    radius = rng.uniform(0.5, 1.3, corners)
    fill(canvas, np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1))


def draw_limbs(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """Draw a body with bent limbs, like animals and people."""
    side = canvas.shape[0]
    body = closed_curve(rng, 80, 0.3) * rng.uniform(0.35, 0.65, 2)
    fill(canvas, body)
    for _ in range(int(rng.integers(2, 7))):
        start = body[rng.integers(len(body))] * 0.6
        direction = rng.uniform(0, 2 * np.pi)
        joints = [start]
        for _ in range(int(rng.integers(2, 4))):
            direction += rng.normal(0, 0.6)
            step = rng.uniform(0.25, 0.55)
            joints.append(joints[-1] + step * np.array([np.cos(direction), np.sin(direction)]))
        width = int(side * rng.uniform(0.03, 0.09))
        pixels = np.round(np.array(joints) * side / 4 + side / 2).astype(np.int32)
        cv2.polylines(canvas, [pixels], False, 255, width)
        for joint in pixels:
            cv2.circle(canvas, (int(joint[0]), int(joint[1])), width // 2, 255, -1)


def draw_ring(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """Draw a blob with a hole."""
    outline = closed_curve(rng, 120, 0.4)
    fill(canvas, outline)
    fill(canvas, outline * rng.uniform(0.35, 0.65) + rng.uniform(-0.1, 0.1, 2), 0)


def fitted(rng: np.random.Generator, drawing: np.ndarray, size: int) -> np.ndarray:
    """Move and scale a drawing u8, with a random aspect, so that it fills a size x size canvas except for a margin."""
    side = size * SUPERSAMPLE
    x, y, w, h = cv2.boundingRect(drawing)
    room = side - 4 * SUPERSAMPLE  # two pixels of margin all round
    aspect = np.exp(rng.normal(0, 0.3))
    scale = room / max(w * aspect, h)
    rows = [
        [scale * aspect, 0, side / 2 - scale * aspect * (x + w / 2)],
        [0, scale, side / 2 - scale * (y + h / 2)],
    ]
    matrix = np.array(rows, np.float32)
    large = cv2.warpAffine(drawing, matrix, (side, side), flags=cv2.INTER_LINEAR)
    return cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
