"""Synthetic clips with exact labels, which the networks are pre-trained on (in the manner of OCLR's).

One to three textured sprites travel over a scene that a camera pans across, each on its own smooth random
homography path, deforming slightly, at times standing still, entering and leaving. Layers are drawn back to
front; channel k of the masks is sprite k, the last sprite is in front. Flow follows from the geometry and is
exact for every gap. A clip is a pure function of (seed, index): the same on every machine and in any order.
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
FOREGROUND_SHARE = (
    0.45  # of clips have near things that stand still, and that the camera's travel shifts more
)
COMPRESSED_SHARE = 0.5  # of clips went through JPEG, as the frames of most videos and data sets have
QUALITY = 30, 96  # of it, as OpenCV counts; at the lower end blocks are plain to see
BENDING = 0.4  # of a sprite's canvas; below 0.5 the inverse that draws it is found


@dataclass(frozen=True)
class SyntheticClip:
    """A rendered clip: T frames of H x W pixels with K object channels, absent objects last and empty.

    rgb u8 (T, H, W, 3); amodal, modal bool (T, K, H, W); owner u8 (T, H, W), the layer seen at each pixel,
    and points f32 (T, H, W, 6), its material point there; layers: the scene first, then the objects.
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
        """Object channels from back to front, (K,)."""
        return np.arange(self.amodal.shape[1])

    def displacement(self, t: int, s: int) -> np.ndarray:
        """Exact motion of what frame t shows, from t to s, in pixels (x, y), f32 (H, W, 2)."""
        height, width = self.owner.shape[1:]
        moved = np.zeros((height, width, 2), np.float32)
        for number, layer in enumerate(self.layers):
            mine = self.owner[t] == number
            material = self.points[t][mine]  # (N, 6)
            here, there = layer.project(t, material), layer.project(s, material)
            moved[mine] = np.stack([there[0] - here[0], there[1] - here[1]], axis=1)
        return moved

    def visible(self, t: int, s: int, displacement: np.ndarray) -> np.ndarray:
        """Which pixels of frame t are in view in frame s too: not hidden, inside; bool (H, W)."""
        height, width = self.owner.shape[1:]
        y, x = np.mgrid[0:height, 0:width]
        to_x = np.rint(x + displacement[..., 0]).astype(int)
        to_y = np.rint(y + displacement[..., 1]).astype(int)
        inside = (to_x >= 0) & (to_x < width) & (to_y >= 0) & (to_y < height)
        there = np.clip(to_y, 0, height - 1), np.clip(to_x, 0, width - 1)
        return inside & (self.owner[s][there] == self.owner[t])

    def flow(self, gap: int = 1) -> np.ndarray:
        """Exact flow to the frames at +gap and -gap, f32 (T, 4, H, W): u+, v+, u-, v- in pixels.

        Where the clip has no such frame, the negated opposite stands. ValueError for fewer than 2*gap frames.
        """
        frames = len(self.rgb)
        if not 1 <= gap <= frames // 2:
            raise ValueError(f"gap: wanted 1 to {frames // 2} for a clip of {frames} frames, got {gap}")
        forward = {t: self.displacement(t, t + gap) for t in range(frames - gap)}
        backward = {t: self.displacement(t, t - gap) for t in range(gap, frames)}
        return stack_flow(forward, backward, frames)


def stack_flow(forward: dict[int, np.ndarray], backward: dict[int, np.ndarray], frames: int) -> np.ndarray:
    """Fields (H, W, 2) by frame -> f32 (T, 4, H, W), a missing one being the negated opposite."""
    pairs = []
    for t in range(frames):
        ahead = forward[t] if t in forward else -backward[t]
        behind = backward[t] if t in backward else -forward[t]
        pairs.append(np.concatenate([ahead, behind], axis=2))
    return np.ascontiguousarray(np.stack(pairs).transpose(0, 3, 1, 2))


class SyntheticClips:
    """An endless, indexable supply of synthetic clips.

    photos: folder of pictures for textures and backgrounds, None for procedural ones. silhouettes: folder of mask
    pictures for shapes beside the drawn ones. size: (H, W) of frames. max_objects: at most this many of the
    `NUM_OBJECTS` channels are used.
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
        """The same supply at another size (H, W) of frames."""
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
        """Clip number `index`, of `frames` frames (default: those of the supply).

        paint: False leaves `rgb` black, for those who want motion alone; only: the frames that are drawn, the others
        stay empty. All else stays the same.
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
        """Motion of the scene in the frame, around its centre, (T, 3, 3); still in one clip of six."""
        if rng.random() < 1 / 6:
            return np.tile(np.eye(3), (frames, 1, 1))
        height, width = self.size
        speed = log_uniform(rng, 0.002, 0.03) * width
        motion = Motion(speed, rotation=0.004, scale=0.006, shear=0.002, perspective=0.004 / width)
        return centred(random_path(rng, frames, motion, rests=False), width / 2, height / 2)

    def background(self, rng: np.random.Generator, camera: np.ndarray) -> Layer:
        """A scene larger than the frame, with parallax: near parts (a depth map) shift more than far ones."""
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
        """A near part of the scene, ground or rocks, which the camera's travel shifts more."""
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
        """One to four shapes such as objects have, anywhere on a canvas f32 (h, w) in [0, 1]."""
        silhouette = np.zeros((h, w), np.float32)
        for _ in range(int(rng.integers(1, 5))):
            size = int(log_uniform(rng, 0.2, 0.9) * self.size[0])
            y, x = rng.integers(h - size + 1), rng.integers(w - size + 1)
            window = silhouette[y : y + size, x : x + size]
            np.maximum(window, self.silhouettes.sample(rng, size), out=window)
        return silhouette

    def sprite(self, rng: np.random.Generator, camera: np.ndarray, background: Layer) -> Layer:
        """One object: most move within the scene, some with the camera (which then follows them)."""
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
        anchor = camera[rng.integers(len(camera))]  # where the object is at (x, y) on the screen
        offset = translation(x, y) if scene is not camera else np.linalg.inv(anchor) @ translation(x, y)
        paths = scene @ offset @ path @ translation(-size / 2, -size / 2)
        return Layer(texture, silhouette, paths, *articulation(rng, size, len(camera)))


def ragged_ground(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    """All below, now and then all above, an uneven line through a canvas, f32 (h, w) in [0, 1]."""
    edge = h * rng.uniform(0.55, 0.75) + smooth_field(rng, 1, w, rng.uniform(3, 12))[0, :, 0] * h * 0.05
    silhouette = np.clip(np.arange(h)[:, None] - edge + 0.5, 0, 1).astype(np.float32)
    return np.ascontiguousarray(silhouette[::-1]) if rng.random() < 0.3 else silhouette


def articulation(rng: np.random.Generator, size: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """How a sprite bends: two smooth fields on its canvas f32 (size, size, 4), their amplitudes (T, 2) over time.

    Nowhere is it sheared or stretched by more than `BENDING`: limbs swing, and nothing folds.
    """
    fields = smooth_field(rng, size, size, rng.uniform(1.0, 3.5), 4)
    swing = smooth_noise(rng, frames, rng.uniform(1.5, 5.0), 2)
    slopes = np.concatenate(np.gradient(fields, axis=(0, 1)), axis=2)[::2, ::2]  # d/dy of both fields, d/dx
    bends = np.stack([slopes[..., [0, 1, 4, 5]], slopes[..., [2, 3, 6, 7]]]).reshape(2, -1)
    most = max(float(np.abs(a @ bends).max()) for a in swing.astype(np.float32))
    return fields, swing * rng.uniform(0.0, BENDING) / max(most, 1e-6)


def centred(path: np.ndarray, x: float, y: float) -> np.ndarray:
    """The same homographies, acting around the point (x, y)."""
    return translation(x, y) @ path @ translation(-x, -y)


def draw(
    rng: np.random.Generator,
    scene: list[Layer],
    sprites: list[Layer],
    size: tuple[int, int],
    paint: bool = True,
    only: Sequence[int] | None = None,
) -> SyntheticClip:
    """Paint scene and sprites back to front, and record who is seen where; see `SyntheticClips.make`."""
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
    """Defocus of `blur` pixels and sensor noise of `grain` grey levels, f32 (H, W, 3) -> u8."""
    if blur > 0.1:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    noise = rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(grain)
    return np.clip(picture + noise + 0.5, 0, 255).astype(np.uint8)


def compressed(frame: np.ndarray, quality: int) -> np.ndarray:
    """What JPEG of a quality of 0 to 100 leaves of a frame, u8 (H, W, 3) RGB in and out."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, stored = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)
    left: Any = cv2.imdecode(stored, cv2.IMREAD_COLOR)
    return cv2.cvtColor(left, cv2.COLOR_BGR2RGB)
