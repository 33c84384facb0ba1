"""Synthetic clips as files: a data set in DAVIS layout, with exact masks, amodal masks and flow.

    JPEGImages/480p/<clip>/<frame>.jpg               frames
    Annotations/480p/<clip>/<frame>.png              the visible parts of the objects: 0 background, k object k
    Annotations_amodal/480p/<clip>/<k>_<frame>.png   the whole of object k, hidden parts included: 0 and 255
    Flows_gap<g>/<clip>/<frame>.flo                  exact flow to the frame g later, if there is one

A clip's annotations are written last, so if they exist, the clip is complete.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from motion_adapt.storage.atomic import whole_file, whole_folder
from motion_adapt.storage.formats.flo import flo_path, write_flo
from motion_adapt.storage.formats.masks import write_masks

QUALITY = 92  # of JPEG
_FRAMES, _MASKS, _AMODAL = (
    Path(part) / "480p" for part in ("JPEGImages", "Annotations", "Annotations_amodal")
)


def is_written(root: Path, name: str) -> bool:
    """Return whether a clip has been written completely."""
    return (root / _MASKS / name).is_dir()


def write_clip(
    root: Path,
    name: str,
    *,
    rgb: np.ndarray,
    labels: np.ndarray,
    amodal: np.ndarray,
    flow: Mapping[int, Mapping[int, np.ndarray]],
) -> None:
    """Write one clip.

    Args:
        root: folder of the data set.
        name: the clip's name.
        rgb: u8 (T, H, W, 3).
        labels: u8 (T, H, W), 0 background, k object k.
        amodal: bool (T, K, H, W), whole objects, for the K objects of the clip.
        flow: f32 (H, W, 2) in pixels, by gap (negative ones look back) and frame.
    """
    frames = [f"{index:05d}" for index in range(len(rgb))]
    with whole_folder(root / _FRAMES / name) as partial:
        for frame, picture in zip(frames, rgb, strict=True):
            Image.fromarray(picture).save(partial / f"{frame}.jpg", quality=QUALITY)
    with whole_folder(root / _AMODAL / name) as partial:
        for frame, masks in zip(frames, amodal, strict=True):
            for number, mask in enumerate(masks, 1):
                Image.fromarray(mask.astype(np.uint8) * 255).save(partial / f"{number}_{frame}.png")
    for gap, fields in flow.items():
        for index, field in fields.items():
            write_flo(flo_path(root, gap, name, frames[index]), field)
    write_masks(root / _MASKS, name, frames, labels)


def write_list(root: Path, name: str, clips: list[str]) -> Path:
    """Write ImageSets/<name>.txt, a list of clips that `--split` can name. Returns its path."""
    path = root / "ImageSets" / f"{name}.txt"
    with whole_file(path) as partial:
        partial.write_text("".join(f"{clip}\n" for clip in clips), encoding="utf-8")
    return path
