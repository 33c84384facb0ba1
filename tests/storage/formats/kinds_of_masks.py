"""Masks of one small clip, stored in many ways."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from motion_adapt.storage.formats.label_maps import ClipMasks
from motion_adapt.storage.formats.label_rules import davis_palette

Make = Callable[[np.ndarray], Image.Image]
RED, BLUE, PURPLE, BLACK, WHITE = (250, 50, 83), (51, 221, 255), (128, 0, 128), (0, 0, 0), (255, 255, 255)


def truth(index: int) -> np.ndarray:
    """Object 2 is there from the first frame on, object 1 only later: its label must not depend on the frame."""
    labels = np.zeros((48, 80), np.uint8)
    labels[25:40, 45 + index : 60 + index] = 2
    if index:
        labels[5 + index : 20 + index, 10:25] = 1
    return labels


def indexed(labels: np.ndarray, palette: Any = None) -> Image.Image:
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(np.array(davis_palette() if palette is None else palette, np.uint8).tobytes())
    return image


def coloured(*colours: tuple[int, int, int]) -> Make:
    return lambda labels: Image.fromarray(np.array(colours, np.uint8)[labels])


def levels(*values: int, dtype: type = np.uint8) -> Make:
    return lambda labels: Image.fromarray(np.array(values, dtype)[labels])


def soft(top: float, dtype: type, low: float = 0) -> Make:
    """Smooth edges, as of probabilities or of a mask that was resized."""

    def make(labels: np.ndarray) -> Image.Image:
        mask = cv2.GaussianBlur((labels > 0).astype(np.float32), (7, 7), 1.5)
        return Image.fromarray(((low + (1 - low) * mask) * top).astype(dtype))

    return make


def with_alpha(make: Make, alpha: Make) -> Make:
    def joined(labels: np.ndarray) -> Image.Image:
        image = make(labels).convert("RGBA")
        image.putalpha(alpha(labels))
        return image

    return joined


def shuffled(labels: np.ndarray) -> Image.Image:
    return indexed(np.array([2, 0, 1])[labels], [RED, BLUE, BLACK])


def read(
    tmp_path: Path, make: Make, count: int = 3, suffix: str = ".png", **options: Any
) -> tuple[list[np.ndarray], str]:
    """The label maps of a clip, and what was told."""
    paths = [tmp_path / f"{index:05d}{suffix}" for index in range(count)]
    for index, path in enumerate(paths):
        make(truth(index)).save(path)
    masks = ClipMasks(paths, **options)
    maps = [masks.read(path) for path in paths]
    assert all(labels.dtype == np.uint8 for labels in maps)
    return maps, "; ".join(text for _, text in masks.notes)
