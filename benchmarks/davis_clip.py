"""Clips with labels in DAVIS layout, as the benchmarks read them."""

from pathlib import Path

import cv2
import numpy as np


def read_clip(data: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the annotated frames u8 (T, H, W, 3) of a clip and their masks bool (T, H, W).

    Raises:
        SystemExit: there are none, or a picture cannot be read.
    """
    masks = sorted((data / "Annotations/480p" / name).glob("*.png"))
    if not masks:
        raise SystemExit(f"{data / 'Annotations/480p' / name}: there are no annotations")
    pictures = [data / "JPEGImages/480p" / name / f"{mask.stem}.jpg" for mask in masks]
    frames = [_read(path, cv2.IMREAD_COLOR)[..., ::-1] for path in pictures]
    return np.stack(frames), np.stack([_read(path, cv2.IMREAD_GRAYSCALE) > 127 for path in masks])


def _read(path: Path, kind: int) -> np.ndarray:
    picture = cv2.imread(str(path), kind)
    if picture is None:
        raise SystemExit(f"{path}: there is no such picture, or it cannot be decoded")
    return picture
