"""Label maps as indexed PNG in DAVIS layout: <folder>/<clip>/<frame>.png, 0 background, 1, 2... the objects.

The palette is the one that DAVIS annotations carry, so that viewers and evaluation packages read our masks as
their own. Indexed PNG is lossless: labels come back as they went in.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from motion_adapt.storage.atomic import whole_folder
from motion_adapt.storage.formats.images import PictureError, open_picture
from motion_adapt.storage.keys import digest, file_digest
from motion_adapt.storage.names import printable, safe_name

VOID = 255
MAX_OBJECTS = 20  # the most that the DAVIS unsupervised protocol takes


@cache
def davis_palette() -> np.ndarray:
    """u8 (256, 3) RGB: a label's bits, from the lowest, go to red, green and blue in turn, highest first."""
    labels = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        palette[:, bit % 3] |= (((labels >> bit) & 1) << (7 - bit // 3)).astype(np.uint8)
    palette.setflags(write=False)
    return palette


def write_masks(
    folder: Path, clip_name: str, frame_names: Sequence[str], label_maps: Iterable[np.ndarray]
) -> Path:
    """Write one clip's u8 (H, W) label maps, one a frame name; returns the clip's folder.

    The folder appears whole or not at all and replaces an earlier export. Raises ValueError for names
    that are not safe in a path, for maps that are not u8 (H, W) of one size, and where names and maps
    differ in number.
    """
    for name in (clip_name, *frame_names):
        if name != safe_name(name):
            raise ValueError(f"{printable(name)!r} is no safe file name; safe_name makes one")
    if len(set(frame_names)) != len(frame_names):
        raise ValueError(f"{clip_name}: frame names occur twice")
    palette = davis_palette().tobytes()
    size: tuple[int, ...] | None = None
    with whole_folder(folder / clip_name) as beside:
        for name, labels in zip(frame_names, label_maps, strict=True):
            if labels.dtype != np.uint8 or labels.ndim != 2 or labels.shape != (size or labels.shape):
                wanted = f"u8 {size or '(H, W)'}"
                raise ValueError(
                    f"{clip_name}, {name}: labels must be {wanted}, got {labels.dtype} {labels.shape}"
                )
            size = labels.shape
            image = Image.fromarray(labels)
            image.putpalette(palette)
            image.save(beside / f"{name}.png")
    return folder / clip_name


def read_masks(folder: Path, clip_name: str, frame_names: Sequence[str]) -> Iterator[np.ndarray]:
    """The u8 (H, W) label maps of the named frames, one at a time, as `decode_labels` reads them.

    Raises ValueError that names the file where one is missing, damaged, or of another size than the first.
    """
    size: tuple[int, ...] | None = None
    for name in frame_names:
        path = folder / clip_name / f"{name}.png"
        try:
            labels = decode_labels(path).labels
        except PictureError as error:
            raise ValueError(f"{printable(path)} {error}") from error
        if labels.shape != (size or labels.shape):
            raise ValueError(f"{printable(path)} is {labels.shape} (H, W), the masks before are {size}")
        size = labels.shape
        yield labels


def masks_content(folder: Path, clip_name: str, frame_names: Sequence[str]) -> str:
    """Digest of the bytes that `read_masks` would read, frame by frame. Names do not enter.

    Raises ValueError naming the file where one is missing.
    """
    paths = [folder / clip_name / f"{name}.png" for name in frame_names]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise ValueError(f"{printable(missing[0])} is missing: every frame wants a mask, an empty one too")
    return digest([file_digest(path) for path in paths])


@dataclass(frozen=True)
class Decoded:
    """A label map as stored, and whether grey levels had to be taken as one foreground."""

    labels: np.ndarray  # u8 (H, W): 0 background, 1, 2... objects, 255 void
    grey_levels: bool = False


def decode_labels(path: Path) -> Decoded:
    """Labels of one mask file, by what it holds. Raises PictureError.

    * palette: the indices are ids, 255 is void; a palette of greys counts as grey;
    * grey {0, 255}: one object; grey with ids 1 to 20 (and void 255): ids, as some data sets store them;
    * any other grey (smoothed edges), 16 bits, 1 bit, RGB: one object where any channel is above 0.
    """
    image = open_picture(path)
    if image.mode == "P" and not _is_grey_ramp(image):
        return Decoded(np.array(image))
    if image.mode in ("L", "P"):
        grey = np.array(image)
        ids = set(np.unique(grey).tolist()) - {0, VOID}
        if ids and max(ids) <= MAX_OBJECTS:
            return Decoded(grey)
        return Decoded((grey > 0).astype(np.uint8), grey_levels=bool(ids))
    if image.mode == "1" or image.mode.startswith("I"):
        return Decoded((np.array(image) > 0).astype(np.uint8))
    if image.mode in ("RGB", "RGBA", "LA"):
        channels = np.array(image)[..., : 1 if image.mode == "LA" else 3]
        return Decoded(np.asarray(np.any(channels > 0, axis=2), np.uint8))
    raise PictureError(f"is no mask: pictures of mode {image.mode} hold no labels")


def _is_grey_ramp(image: Image.Image) -> bool:
    """Whether index i of the palette is the grey (i, i, i), as some tools store pictures in 8-bit grey."""
    palette = np.array(image.getpalette("RGB")).reshape(-1, 3)
    return len(palette) > 2 and bool((palette == np.arange(len(palette))[:, None]).all())
