"""Readers of the golden numbers in the folder that MOTION_ADAPT_METRICS names."""

import csv
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TOLERANCE = 1e-6


def folder(variable: str) -> Path:
    """Return the folder that an environment variable names. The test is skipped if the variable is not set."""
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set")
    return Path(value)


def rows(path: Path) -> list[dict[str, str]]:
    """Read all rows of a CSV file."""
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


@cache
def label_maps(path: Path) -> np.ndarray:
    """Read the label maps u8 (T, H, W) of a folder of PNG files, in the order of their names. Read-only."""
    return np.stack([np.asarray(Image.open(file)) for file in sorted(path.glob("*.png"))])


def packed_masks(path: Path) -> Callable[[str], np.ndarray]:
    """Return a reader of the named bool masks (H, W) of one packed file."""
    packed = np.load(path)

    @cache
    def mask(name: str) -> np.ndarray:
        height, width = packed[f"{name}_shape"]
        return np.unpackbits(packed[name], count=height * width).reshape(height, width).astype(bool)

    return mask
