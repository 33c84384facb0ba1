"""Label maps as indexed PNG in DAVIS layout: <folder>/<clip>/<frame>.png, 0 background, 1, 2... the objects.

The palette is that of the DAVIS annotations, so that viewers and evaluation packages read our masks like those.
Indexed PNG is lossless: labels are read back exactly as written.
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
MAX_OBJECTS = 20  # the most that the DAVIS unsupervised protocol allows


@cache
def davis_palette() -> np.ndarray:
    """Return the DAVIS palette, u8 (256, 3) RGB.

    A label's bits, lowest first, are assigned to red, green and blue in turn, and fill each channel from its highest
    bit down.
    """
    labels = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        palette[:, bit % 3] |= (((labels >> bit) & 1) << (7 - bit // 3)).astype(np.uint8)
    palette.setflags(write=False)
    return palette


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
    """Yield the label maps, u8 (H, W), of the named frames, one at a time, as `decode_labels` reads them.

    Raises:
        ValueError: if a file is missing, damaged, or of another size than the first; names the file.
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
    """Return a digest of the bytes that `read_masks` would read. Names do not affect it.

    Raises:
        ValueError: if a file is missing; names it.
    """
    paths = [folder / clip_name / f"{name}.png" for name in frame_names]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise ValueError(f"{printable(missing[0])} is missing: every frame needs a mask, even an empty one")
    return digest([file_digest(path) for path in paths])


@dataclass(frozen=True)
class Decoded:
    """A decoded label map, and whether grey levels had to be read as one foreground."""

    labels: np.ndarray  # u8 (H, W): 0 background, 1, 2... objects, 255 void
    grey_levels: bool = False


def decode_labels(path: Path) -> Decoded:
    """Decode the labels of one mask file, by its kind of picture.

    * palette: the indices are ids, 255 is void; a palette of greys counts as grey;
    * grey {0, 255}: one object; grey with ids 1 to 20 (and void 255): ids, as some data sets store them;
    * any other grey (smoothed edges), 16 bits, 1 bit, RGB: one object where any channel is above 0.

    Raises:
        PictureError: if the file cannot be read or is of another kind.
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
    raise PictureError(f"is not a mask: pictures of mode {image.mode} hold no labels")


def _is_grey_ramp(image: Image.Image) -> bool:
    """Return whether palette entry i is the grey (i, i, i): some tools store 8-bit grey pictures this way."""
    palette = np.array(image.getpalette("RGB")).reshape(-1, 3)
    return len(palette) > 2 and bool((palette == np.arange(len(palette))[:, None]).all())
