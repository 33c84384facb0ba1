"""Synthetic clips with exact labels for pre-training the networks, similar to OCLR's.

One to three textured sprites move over a scene across which a camera pans. Each follows its own smooth random
homography path, deforms slightly, sometimes rests, enters and leaves. Layers are drawn from back to front. Channel k of
the masks is sprite k; the last sprite is in front. Flow follows from the geometry and is exact for every gap. A clip is
a pure function of (seed, index): the same on every machine and in any order.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH
from motion_adapt.models.synthetic.layers import Layer
from motion_adapt.models.synthetic.shapes import Silhouettes
from motion_adapt.models.synthetic.textures import Textures, smooth_field
from motion_adapt.models.synthetic.trajectories import (
    Motion,
    log_uniform,
    random_path,
    smooth_noise,
    translation,
)

NUM_OBJECTS = 3
FOREGROUND_SHARE = 0.45  # share of clips with a near part of the scene, which camera motion shifts more
COMPRESSED_SHARE = 0.5  # share of clips compressed by JPEG, like the frames of most videos and data sets
QUALITY = 30, 96  # JPEG quality range (OpenCV scale); blocking is visible at the low end
# maximum shear or stretch of a sprite's canvas; below 0.5 the inverse needed for drawing converges
BENDING = 0.4


@dataclass(frozen=True)
class SyntheticClip:
    """A rendered clip of T frames of H x W pixels with K object channels. Absent objects come last and are empty.

    Attributes:
        rgb: u8 (T, H, W, 3).
        amodal: bool (T, K, H, W).
        modal: bool (T, K, H, W).
        owner: u8 (T, H, W), the layer that is visible at each pixel.
        points: f32 (T, H, W, 6), that layer's material point at each pixel.
        layers: first the scene, then the objects.
        num_objects: number of objects.
    """

    rgb: np.ndarray
    amodal: np.ndarray
    modal: np.ndarray
    owner: np.ndarray
    points: np.ndarray
    layers: tuple[Layer, ...]
    num_objects: int

    @property
    def order(self) -> np.ndarray:
        """The object channels from back to front, (K,)."""
        return np.arange(self.amodal.shape[1])

    def displacement(self, t: int, s: int) -> np.ndarray:
        """Return the exact motion of each pixel of frame t, from t to s, in pixels (x, y), f32 (H, W, 2)."""
        height, width = self.owner.shape[1:]
        moved = np.zeros((height, width, 2), np.float32)
        for number, layer in enumerate(self.layers):
            mine = self.owner[t] == number
            material = self.points[t][mine]  # (N, 6)
            here, there = layer.project(t, material), layer.project(s, material)
            moved[mine] = np.stack([there[0] - here[0], there[1] - here[1]], axis=1)
        return moved

    def visible(self, t: int, s: int, displacement: np.ndarray) -> np.ndarray:
        """Return which pixels of frame t are also visible in frame s (inside and not hidden), bool (H, W)."""
        height, width = self.owner.shape[1:]
        y, x = np.mgrid[0:height, 0:width]
        to_x = np.rint(x + displacement[..., 0]).astype(int)
        to_y = np.rint(y + displacement[..., 1]).astype(int)
        inside = (to_x >= 0) & (to_x < width) & (to_y >= 0) & (to_y < height)
        there = np.clip(to_y, 0, height - 1), np.clip(to_x, 0, width - 1)
        return inside & (self.owner[s][there] == self.owner[t])

    def flow(self, gap: int = 1) -> np.ndarray:
        """Return the exact flow to the frames at +gap and -gap, f32 (T, 4, H, W): u+, v+, u-, v- in pixels.

        If one of these frames is outside the clip, its flow is the negated flow of the other direction.

        Raises:
            ValueError: the clip has fewer than 2 * gap frames.
        """
        frames = len(self.rgb)
        if not 1 <= gap <= frames // 2:
            raise ValueError(f"gap: wanted 1 to {frames // 2} for a clip of {frames} frames, got {gap}")
        forward = {t: self.displacement(t, t + gap) for t in range(frames - gap)}
        backward = {t: self.displacement(t, t - gap) for t in range(gap, frames)}
        return stack_flow(forward, backward, frames)


def stack_flow(forward: dict[int, np.ndarray], backward: dict[int, np.ndarray], frames: int) -> np.ndarray:
    """Stack fields (H, W, 2), given by frame, to f32 (T, 4, H, W). A missing field is the other one, negated."""
    pairs = []
    for t in range(frames):
        ahead = forward[t] if t in forward else -backward[t]
        behind = backward[t] if t in backward else -forward[t]
        pairs.append(np.concatenate([ahead, behind], axis=2))
    return np.ascontiguousarray(np.stack(pairs).transpose(0, 3, 1, 2))


class SyntheticClips:
    """An endless, indexable supply of synthetic clips.

    Args:
        seed: seed of all clips.
        photos: folder of pictures for textures and backgrounds; None for procedural ones.
        silhouettes: folder of mask pictures for half of the shapes; None for drawn shapes only.
        size: (H, W) of frames.
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
        self.seed, self.size, self.frames, self.max_objects = seed, size, frames, max_objects
        self.textures, self.silhouettes = Textures(photos), Silhouettes(silhouettes)

    def at_size(self, size: tuple[int, int]) -> "SyntheticClips":
        """Return the same supply with another size (H, W) of frames."""
        other = copy(self)
        other.size = size
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
        h, w = int(height * 1.4), int(width * 1.4)
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
        size = int(log_uniform(rng, 0.22, 1.15) * height)
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
