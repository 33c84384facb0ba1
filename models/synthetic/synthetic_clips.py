"""Synthetic clips with exact labels for pre-training the networks, similar to OCLR's.

One to three textured sprites move over a scene across which a camera pans. Each follows its own smooth random
homography path, deforms slightly, sometimes rests, enters and leaves. Layers are drawn from back to front. Channel k of
the masks is sprite k; the last sprite is in front. Flow follows from the geometry and is exact for every gap. A clip is
a pure function of (seed, index): the same on every machine and in any order.
"""

from collections.abc import Sequence
from copy import copy
from pathlib import Path

import numpy as np

from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH
from motion_adapt.models.synthetic.drawing import draw
from motion_adapt.models.synthetic.layers import Layer
from motion_adapt.models.synthetic.shapes import Silhouettes
from motion_adapt.models.synthetic.synthetic_clip import NUM_OBJECTS, SyntheticClip
from motion_adapt.models.synthetic.textures import Textures, smooth_field
from motion_adapt.models.synthetic.trajectories import (
    Motion,
    log_uniform,
    random_path,
    smooth_noise,
    translation,
)

FOREGROUND_SHARE = 0.45  # share of clips with a near part of the scene, which camera motion shifts more
SCENE = 1.4  # sides of the scene, in sides of the frame
SPRITE = 0.22, 1.15  # smallest and largest side of a sprite's canvas, in heights of the frame
LEAST_HEIGHT = 16  # pixels; the smallest sprites have no shape in lower frames
# maximum shear or stretch of a sprite's canvas; below 0.5 the inverse needed for drawing converges
BENDING = 0.4


class SyntheticClips:
    """An endless, indexable supply of synthetic clips.

    Args:
        seed: seed of all clips.
        photos: folder of pictures for textures and backgrounds; None for procedural ones.
        silhouettes: folder of mask pictures for half of the shapes; None for drawn shapes only.
        size: (H, W) of frames. H is at least `LEAST_HEIGHT`, and W about 0.83 H, so that the largest sprite fits into
            the scene.
        frames: frames of a clip.
        max_objects: maximum number of the `NUM_OBJECTS` channels that are used.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        photos: Path | None = None,
        silhouettes: Path | None = None,
        size: tuple[int, int] = (HEIGHT, WIDTH),
        frames: int = 7,
        max_objects: int = NUM_OBJECTS,
    ) -> None:
        if frames < 2:
            raise ValueError(f"frames: wanted at least 2, got {frames}")
        if not 1 <= max_objects <= NUM_OBJECTS:
            raise ValueError(f"max_objects: wanted 1 to {NUM_OBJECTS}, got {max_objects}")
        self.seed, self.size, self.frames, self.max_objects = seed, checked(size), frames, max_objects
        self.textures, self.silhouettes = Textures(photos), Silhouettes(silhouettes)

    def at_size(self, size: tuple[int, int]) -> "SyntheticClips":
        """Return the same supply with another size (H, W) of frames."""
        other = copy(self)
        other.size = checked(size)
        return other

    def make(
        self,
        index: int,
        *,
        frames: int | None = None,
        paint: bool = True,
        only: Sequence[int] | None = None,
    ) -> SyntheticClip:
        """Generate clip number `index`.

        Args:
            index: number of the clip.
            frames: frames of the clip; None for the supply's.
            paint: False leaves `rgb` black, if only the motion is needed. Everything else stays the same.
            only: frames to draw; the others stay empty. None for all.
        """
        rng = np.random.default_rng([self.seed, index])
        count = int(rng.integers(1, self.max_objects + 1))
        camera = self.camera_path(rng, self.frames if frames is None else frames)
        background = self.background(rng, camera)
        scene = (
            [background, self.foreground(rng, camera)] if rng.random() < FOREGROUND_SHARE else [background]
        )
        sprites = [self.sprite(rng, camera, background) for _ in range(count)]
        return draw(rng, scene, sprites, self.size, paint, only)

    def camera_path(self, rng: np.random.Generator, frames: int) -> np.ndarray:
        """Draw the scene's motion in the frame, around its centre, (T, 3, 3). In one clip of six it is static."""
        if rng.random() < 1 / 6:
            return np.tile(np.eye(3), (frames, 1, 1))
        height, width = self.size
        speed = log_uniform(rng, 0.002, 0.03) * width
        motion = Motion(speed, rotation=0.004, scale=0.006, shear=0.002, perspective=0.004 / width)
        return centred(random_path(rng, frames, motion, rests=False), width / 2, height / 2)

    def background(self, rng: np.random.Generator, camera: np.ndarray) -> Layer:
        """Draw a scene larger than the frame, with parallax: by a depth map, near parts shift more than far ones."""
        height, width = self.size
        h, w = int(height * SCENE), int(width * SCENE)
        texture = self.textures.sample(rng, h, w)
        ground = np.linspace(-1, 1, h, dtype=np.float32)[:, None] * rng.uniform(0.0, 1.5)
        depth = np.tanh(smooth_field(rng, h, w, rng.uniform(2, 6))[..., 0] * rng.uniform(0.1, 0.8) + ground)
        zero = np.zeros_like(depth)
        fields = np.stack([depth, zero, zero, depth], axis=2)
        shift = np.array([camera[:, 0, 2], camera[:, 1, 2]]).T  # (T, 2)
        parallax = rng.uniform(0.0, 0.35) * (rng.random() < 0.7)
        amplitudes = np.clip((shift - shift.mean(0)) * parallax, -height / 12, height / 12)
        place = translation((width - w) / 2, (height - h) / 2)
        return Layer(texture, None, camera @ place, fields, amplitudes)

    def foreground(self, rng: np.random.Generator, camera: np.ndarray) -> Layer:
        """Draw a near part of the scene, ground or rocks, which camera motion shifts more."""
        height, width = self.size
        h, w = int(height * 1.8), int(width * 1.8)
        silhouette = ragged_ground(rng, h, w) if rng.random() < 0.5 else self.rocks(rng, h, w)
        near = camera.copy()
        near[:, :2, 2] *= rng.uniform(1.2, 1.8)
        still = np.zeros((len(camera), 2))
        place = translation((width - w) / 2, (height - h) / 2)
        texture = self.textures.sample(rng, h, w)
        return Layer(texture, silhouette, near @ place, np.zeros((h, w, 4), np.float32), still)

    def rocks(self, rng: np.random.Generator, h: int, w: int) -> np.ndarray:
        """Draw one to four object-like shapes at random positions on a canvas f32 (h, w) in [0, 1]."""
        silhouette = np.zeros((h, w), np.float32)
        for _ in range(int(rng.integers(1, 5))):
            size = int(log_uniform(rng, 0.2, 0.9) * self.size[0])
            y, x = rng.integers(h - size + 1), rng.integers(w - size + 1)
            window = silhouette[y : y + size, x : x + size]
            np.maximum(window, self.silhouettes.sample(rng, size), out=window)
        return silhouette

    def sprite(self, rng: np.random.Generator, camera: np.ndarray, background: Layer) -> Layer:
        """Draw one object. Most move relative to the scene, some relative to the frame (the camera follows them)."""
        height, width = self.size
        size = int(log_uniform(rng, *SPRITE) * height)
        silhouette = self.silhouettes.sample(rng, size)
        texture = self.textures.sample(rng, size, size)
        if rng.random() < 0.15:  # camouflage: cut from the scene itself
            y = rng.integers(background.texture.shape[0] - size + 1)
            x = rng.integers(background.texture.shape[1] - size + 1)
            texture = np.ascontiguousarray(background.texture[y : y + size, x : x + size])
        speed = log_uniform(rng, 0.005, 0.025) * width
        motion = Motion(speed, rotation=0.025, scale=0.012, shear=0.008, perspective=0.05 / width / size)
        path = random_path(rng, len(camera), motion, rests=bool(rng.random() < 0.4))
        x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.15, 0.85) * height
        scene = camera if rng.random() < 0.7 else np.eye(3)
        anchor = camera[rng.integers(len(camera))]  # the frame in which the object is at (x, y) on the screen
        offset = translation(x, y) if scene is not camera else np.linalg.inv(anchor) @ translation(x, y)
        paths = scene @ offset @ path @ translation(-size / 2, -size / 2)
        return Layer(texture, silhouette, paths, *articulation(rng, size, len(camera)))


def checked(size: tuple[int, int]) -> tuple[int, int]:
    """Return a size (H, W) of frames, after checking that every clip can be drawn at it.

    Raises:
        ValueError: it is too low, or too narrow for sprites that are cut from the scene.
    """
    height, width = size
    if height < LEAST_HEIGHT or int(width * SCENE) < int(height * SPRITE[1]):
        raise ValueError(
            f"size: wanted a height of at least {LEAST_HEIGHT} and a width of at least "
            f"{SPRITE[1] / SCENE:.2f} heights, got {height} x {width}"
        )
    return size


def ragged_ground(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    """Draw the area below, or sometimes above, an uneven line through a canvas, f32 (h, w) in [0, 1]."""
    edge = h * rng.uniform(0.55, 0.75) + smooth_field(rng, 1, w, rng.uniform(3, 12))[0, :, 0] * h * 0.05
    silhouette = np.clip(np.arange(h)[:, None] - edge + 0.5, 0, 1).astype(np.float32)
    return np.ascontiguousarray(silhouette[::-1]) if rng.random() < 0.3 else silhouette


def articulation(rng: np.random.Generator, size: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw how a sprite bends: two smooth fields on its canvas, f32 (size, size, 4), and their amplitudes (T, 2).

    Shear and stretch are at most `BENDING` everywhere, so that limbs swing but nothing folds.
    """
    fields = smooth_field(rng, size, size, rng.uniform(1.0, 3.5), 4)
    swing = smooth_noise(rng, frames, rng.uniform(1.5, 5.0), 2)
    slopes = np.concatenate(np.gradient(fields, axis=(0, 1)), axis=2)[::2, ::2]  # d/dy of both fields, d/dx
    bends = np.stack([slopes[..., [0, 1, 4, 5]], slopes[..., [2, 3, 6, 7]]]).reshape(2, -1)
    most = max(float(np.abs(a @ bends).max()) for a in swing.astype(np.float32))
    return fields, swing * rng.uniform(0.0, BENDING) / max(most, 1e-6)


def centred(path: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return the same homographies, acting around the point (x, y)."""
    return translation(x, y) @ path @ translation(-x, -y)
