"""The drawing of a synthetic clip: layers from back to front, and what a camera and a JPEG file do to the pictures."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from motion_adapt.models.synthetic.layers import Layer
from motion_adapt.models.synthetic.synthetic_clip import NUM_OBJECTS, SyntheticClip
from motion_adapt.models.synthetic.trajectories import smooth_noise

COMPRESSED_SHARE = 0.5  # share of clips compressed by JPEG, like the frames of most videos and data sets
QUALITY = 30, 96  # JPEG quality range (OpenCV scale); blocking is visible at the low end


def draw(
    rng: np.random.Generator,
    scene: list[Layer],
    sprites: list[Layer],
    size: tuple[int, int],
    paint: bool = True,
    only: Sequence[int] | None = None,
) -> SyntheticClip:
    """Paint scene and sprites from back to front, and record the visible layers; see `SyntheticClips.make`."""
    height, width = size
    layers = (*scene, *sprites)
    frames = len(layers[0].paths)
    rgb = np.zeros((frames, height, width, 3), np.uint8)
    amodal = np.zeros((frames, NUM_OBJECTS, height, width), bool)
    owner = np.zeros((frames, height, width), np.uint8)
    points = np.zeros((frames, height, width, 6), np.float32)
    blur, grain = max(0.0, rng.normal(0.2, 0.35)), abs(rng.normal(0, 3.0))
    exposure = 1.0 + 0.03 * smooth_noise(rng, frames, 3.0, 1)[:, 0] * (rng.random() < 0.5)
    quality = int(rng.integers(*QUALITY)) if rng.random() < COMPRESSED_SHARE else None
    grains = rng.spawn(frames)
    for t in range(frames) if only is None else only:
        picture = np.zeros((height, width, 3), np.float32)
        for number, layer in enumerate(layers):
            rows, columns = layer.box(t, height, width)
            if rows.start >= rows.stop or columns.start >= columns.stop:
                continue
            c_x, c_y = layer.canvas_points(t, rows, columns)
            opacity = layer.opacity(c_x, c_y)
            solid = opacity > 0.5
            if paint:
                window = picture[rows, columns]
                window += opacity[..., None] * (layer.colours(c_x, c_y) - window)
            owner[t, rows, columns][solid] = number
            material = np.concatenate([c_x[..., None], c_y[..., None], layer.displacements(c_x, c_y)], axis=2)
            points[t, rows, columns][solid] = material[solid]
            if number >= len(scene):
                amodal[t, number - len(scene), rows, columns] = solid
        if paint:
            rgb[t] = camera_noise(grains[t], picture * exposure[t], blur, grain)
            if quality is not None:
                rgb[t] = compressed(rgb[t], quality)
    channels = np.arange(NUM_OBJECTS, dtype=np.uint8) + len(scene)
    modal = owner[:, None] == channels[:, None, None]
    return SyntheticClip(rgb, amodal, modal, owner, points, layers, len(sprites))


def camera_noise(rng: np.random.Generator, picture: np.ndarray, blur: float, grain: float) -> np.ndarray:
    """Add defocus of `blur` pixels and sensor noise of `grain` grey levels to f32 (H, W, 3). Returns u8."""
    if blur > 0.1:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    noise = rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(grain)
    return np.clip(picture + noise + 0.5, 0, 255).astype(np.uint8)


def compressed(frame: np.ndarray, quality: int) -> np.ndarray:
    """Compress a frame by JPEG of a quality from 0 to 100 and decode it, u8 (H, W, 3) RGB in and out."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, stored = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)
    left: Any = cv2.imdecode(stored, cv2.IMREAD_COLOR)
    return cv2.cvtColor(left, cv2.COLOR_BGR2RGB)
