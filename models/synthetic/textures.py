"""Appearance of synthetic layers: crops of photos if a folder is given, otherwise procedural textures."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import cv2
import numpy as np

CACHED_BYTES = 300_000_000  # of decoded photos that a process keeps: about 250 of 480 x 854
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class Textures:
    """Random textures. Each depends only on the generator that is passed in.

    photos: folder of pictures (searched recursively), or None for procedural textures only.
    """

    def __init__(self, photos: Path | None = None) -> None:
        self.paths = list_pictures(photos, "photos") if photos is not None else []

    def sample(self, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        """Draw a texture, u8 (height, width, 3) RGB."""
        if self.paths:
            picture = _CACHE.read(self.paths[rng.integers(len(self.paths))])
            texture = random_crop(rng, picture, height, width)
        else:
            texture = procedural(rng, height, width)
        return recolour(rng, texture)


def list_pictures(folder: Path, what: str, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """List the picture files under `folder`, sorted. If there are none, raises a ValueError that begins with `what`."""
    paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in suffixes)
    if not paths:
        raise ValueError(f"{what}: no picture ({', '.join(suffixes)}) under {folder}")
    return paths


def read_photo(path: Path) -> np.ndarray:
    """Read a picture, u8 (H, W, 3) RGB. Raises ValueError if the file is no picture, or a line too thin to crop."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"photos: {path} cannot be decoded; remove it from the folder")
    height, width = picture.shape[:2]
    if min(height, width) < 2:
        raise ValueError(
            f"photos: {path} has {width} x {height} pixels, wanted at least 2 x 2; remove it from the folder"
        )
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


class PhotoCache:
    """The photos that were read last. Together they have at most `most` bytes, however large each of them is."""

    def __init__(self, most: int) -> None:
        self.most, self.bytes = most, 0
        self.kept: OrderedDict[Path, np.ndarray] = OrderedDict()
        self.lock = Lock()

    def read(self, path: Path) -> np.ndarray:
        """Return a photo, reading its file only if it is not kept. See `read_photo`."""
        with self.lock:
            if path in self.kept:
                self.kept.move_to_end(path)
                return self.kept[path]
        picture = read_photo(path)
        with self.lock:
            if path not in self.kept:  # another thread may have read it too
                self.kept[path] = picture
                self.bytes += picture.nbytes
            while self.bytes > self.most:
                self.bytes -= self.kept.popitem(last=False)[1].nbytes
        return picture


_CACHE = PhotoCache(CACHED_BYTES)


def random_crop(rng: np.random.Generator, picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Crop a random window of the given aspect (40-100 % of the largest), mirror it at random, and resize it."""
    rows, columns = picture.shape[:2]
    fit = min(rows / height, columns / width) * rng.uniform(0.4, 1.0)
    h, w = max(2, int(height * fit)), max(2, int(width * fit))
    y, x = rng.integers(rows - h + 1), rng.integers(columns - w + 1)
    crop = picture[y : y + h, x : x + w]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    shrinks = h > height
    return cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def smooth_field(
    rng: np.random.Generator, height: int, width: int, cells: float, channels: int = 1
) -> np.ndarray:
    """Draw smooth noise of about unit variance, f32 (height, width, C), with `cells` bumps along the longer side."""
    step = max(height, width) / cells
    rows, columns = int(height / step) + 3, int(width / step) + 3
    grid = rng.standard_normal((rows, columns, channels)).astype(np.float32)
    field = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return field.reshape(height, width, channels) * np.float32(1.25)


def procedural(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Draw a multi-scale texture: a palette indexed by warped noise, with stripes, spots and fine grain."""
    octaves = rng.uniform(1.0, 3.0) * 2.0 ** np.arange(5)
    fade = rng.uniform(0.45, 0.8)
    value = np.zeros((height, width), np.float32)
    for octave, cells in enumerate(octaves):
        value += fade**octave * smooth_field(rng, height, width, cells)[..., 0]
    kind = rng.choice(["cloud", "stripes", "cells", "flat"], p=[0.4, 0.2, 0.25, 0.15])
    if kind == "stripes":
        angle, period = rng.uniform(0, np.pi), rng.uniform(6, 40)
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        along = (np.cos(angle) * x + np.sin(angle) * y) * (2 * np.pi / period)
        value = np.sin(along + value * rng.uniform(0.2, 2.0)) * 1.5
    elif kind == "cells":
        value = np.round(value * rng.uniform(0.8, 2.0)) + 0.25 * value
    elif kind == "flat":
        value = value * 0.25
    grain = smooth_field(rng, height, width, rng.uniform(30, 90), 3) * rng.uniform(2, 12)
    palette = rng.uniform(20, 235, (6, 1)) + rng.normal(0, rng.uniform(5, 50), (6, 3)) + rng.normal(0, 25, 3)
    palette = palette.astype(np.float32)
    place = np.clip((value + 2.5) / 5.0, 0.0, 1.0) * 5.0
    low = np.clip(place.astype(np.int32), 0, 4)
    share = (place - low)[..., None].astype(np.float32)
    colours = palette[low] * (1 - share) + palette[low + 1] * share + grain
    return np.clip(colours, 0, 255).astype(np.uint8)


def recolour(rng: np.random.Generator, texture: np.ndarray) -> np.ndarray:
    """Change contrast, brightness and colour balance slightly and at random, u8 in and out."""
    gain = rng.uniform(0.7, 1.2) * rng.uniform(0.9, 1.1, 3)
    shift = rng.uniform(-25, 25)
    table = (np.arange(256)[:, None] - 128.0) * gain + 128.0 + shift
    table = np.clip(table, 0, 255).astype(np.uint8)  # (256, 3)
    return cv2.LUT(np.ascontiguousarray(texture), table[None])
