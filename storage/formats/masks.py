"""Label maps as indexed PNG in DAVIS layout: <folder>/<clip>/<frame>.png, 0 background, 1, 2... the objects.

The palette is that of the DAVIS annotations, so that viewers and evaluation packages read our masks like those.
Indexed PNG is lossless: labels are read back exactly as written.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from motion_adapt.storage.atomic import whole_folder
from motion_adapt.storage.formats.images import PictureError
from motion_adapt.storage.formats.label_maps import ClipMasks
from motion_adapt.storage.formats.label_rules import davis_palette
from motion_adapt.storage.keys import digest, file_digest
from motion_adapt.storage.names import printable, safe_name

EXPORTED = "masks"  # the folder of a run's results that has them


def write_masks(
    folder: Path, clip_name: str, frame_names: Sequence[str], label_maps: Iterable[np.ndarray]
) -> Path:
    """Write one clip's label maps, u8 (H, W), one per frame name. Returns the clip's folder.

    The folder appears whole or not at all and replaces an earlier export.

    Raises:
        ValueError: if a name is not safe in a path or occurs twice, if the maps are not u8 (H, W) of one size, or if
            the numbers of names and maps differ.
    """
    for name in (clip_name, *frame_names):
        if name != safe_name(name):
            raise ValueError(f"{printable(name)!r} is not a safe file name; use safe_name to get one")
    if len(set(frame_names)) != len(frame_names):
        raise ValueError(f"{clip_name}: frame names occur twice")
    palette = davis_palette().tobytes()
    size: tuple[int, ...] | None = None
    with whole_folder(folder / clip_name) as partial:
        for name, labels in zip(frame_names, label_maps, strict=True):
            if labels.dtype != np.uint8 or labels.ndim != 2 or labels.shape != (size or labels.shape):
                wanted = f"u8 {size or '(H, W)'}"
                raise ValueError(
                    f"{clip_name}, {name}: labels must be {wanted}, got {labels.dtype} {labels.shape}"
                )
            size = labels.shape
            image = Image.fromarray(labels)
            image.putpalette(palette)
            image.save(partial / f"{name}.png")
    return folder / clip_name


def masks_folder(folder: Path) -> Path:
    """Return the folder that has a folder of masks for each clip: `masks` in a run's results, else `folder` itself."""
    inside = folder / EXPORTED
    return inside if any(path.is_dir() for path in inside.glob("*")) else folder


def mask_files(folder: Path, clip_name: str, frame_names: Sequence[str]) -> list[Path]:
    """Return the paths of the masks of a clip's frames."""
    return [folder / clip_name / f"{name}.png" for name in frame_names]


def read_masks(masks: ClipMasks) -> Iterator[np.ndarray]:
    """Yield the label maps, u8 (H, W), of all files of a clip, one at a time.

    Raises:
        ValueError: if a file is missing, damaged, no mask, or of another size than the first; names the file.
    """
    size: tuple[int, ...] | None = None
    for path in masks.paths:
        try:
            labels = masks.read(path)
        except PictureError as error:
            raise ValueError(f"{printable(path)} {error}") from error
        if labels.shape != (size or labels.shape):
            raise ValueError(f"{printable(path)} is {labels.shape} (H, W), the masks before are {size}")
        size = labels.shape
        yield labels


def masks_content(folder: Path, clip_name: str, frame_names: Sequence[str]) -> str:
    """Return a digest of the bytes that `read_masks` would read. Names do not affect it.

    Raises:
        ValueError: if a file is missing; names it.
    """
    paths = mask_files(folder, clip_name, frame_names)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise ValueError(f"{printable(missing[0])} is missing: every frame needs a mask, even an empty one")
    return digest([file_digest(path) for path in paths])
