"""Silhouettes of synthetic objects: smooth blobs, polygons, limbed bodies and rings."""

import cv2
import numpy as np

SUPERSAMPLE = 4
KINDS = ("blob", "polygon", "limbs", "ring")
SHARES = (0.35, 0.2, 0.37, 0.08)


def random_silhouette(rng: np.random.Generator, size: int) -> np.ndarray:
    """A random shape that fills most of a size x size canvas and touches no border, f32 in [0, 1]."""
    side = size * SUPERSAMPLE
    canvas = np.zeros((side, side), np.uint8)
    draw = {"blob": draw_blob, "polygon": draw_polygon, "limbs": draw_limbs, "ring": draw_ring}
    draw[rng.choice(KINDS, p=SHARES)](rng, canvas)
    fitted = fit_to_canvas(rng, canvas)
    return cv2.resize(fitted, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0


def closed_curve(rng: np.random.Generator, points: int, roughness: float) -> np.ndarray:
    """Points (N, 2) of a star-shaped closed curve around 0 with radius near 1, random low harmonics."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    radius = np.ones(points)
    for harmonic in range(2, 9):
        swing = roughness * rng.normal() / harmonic
        radius += swing * np.cos(harmonic * angle + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.25, 2.0)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def fill(canvas: np.ndarray, points: np.ndarray, value: int = 255) -> None:
    """Fill a closed curve given in units of a quarter canvas around its centre."""
    side = canvas.shape[0]
    pixels = np.round(points * side / 4 + side / 2).astype(np.int32)
    cv2.fillPoly(canvas, [pixels], value)


def draw_blob(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """A smooth outline."""
    fill(canvas, closed_curve(rng, 120, rng.uniform(0.2, 1.0)))


def draw_polygon(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """Straight edges, convex or not."""
    corners = int(rng.integers(3, 9))
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners) * 0.3 + np.arange(corners) * 2 * np.pi / corners)
    radius = rng.uniform(0.5, 1.3, corners)
    fill(canvas, np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1))


def draw_limbs(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """A body with bent limbs, as animals and people have."""
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
    """A blob with a hole."""
    outline = closed_curve(rng, 120, 0.4)
    fill(canvas, outline)
    fill(canvas, outline * rng.uniform(0.35, 0.65) + rng.uniform(-0.1, 0.1, 2), 0)


def fit_to_canvas(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Move and scale the drawing so that it fills the canvas but for a margin, with a random aspect."""
    side = canvas.shape[0]
    x, y, w, h = cv2.boundingRect(canvas)
    room = side - 4 * SUPERSAMPLE  # two pixels of margin all round
    aspect = np.exp(rng.normal(0, 0.3))
    scale = room / max(w * aspect, h)
    rows = [
        [scale * aspect, 0, side / 2 - scale * aspect * (x + w / 2)],
        [0, scale, side / 2 - scale * (y + h / 2)],
    ]
    matrix = np.array(rows, np.float32)
    return cv2.warpAffine(canvas, matrix, (side, side), flags=cv2.INTER_LINEAR)
