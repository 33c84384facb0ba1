"""The one decoder of masks that come in: annotations, predictions and ready-made proposals.

A label map is u8 (H, W): 0 background, 1, 2, ... objects, 255 void. Which of a picture's values is which label is
decided once for all masks of a clip (`storage.formats.label_rules`), so that an object has one label throughout.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from motion_adapt.storage.formats.images import PictureError, open_picture
from motion_adapt.storage.formats.label_rules import Background, Legend, decide
from motion_adapt.storage.formats.label_tally import COLOUR, GREY8, GREY16, INDEX, TOP, Kind, Tally


class ClipMasks:
    """The masks of one clip, unopened: the first `read` looks at all of them, the others at one."""

    def __init__(self, paths: Sequence[Path], background: Background = "black") -> None:
        self.paths, self.background = tuple(paths), background

    def read(self, path: Path) -> np.ndarray:
        """Read the label map u8 (H, W) of one of the files.

        Raises:
            PictureError: if it is damaged or no mask, or the clip's masks fit no rule.
        """
        legend = self._legend
        kind, values = _values(open_picture(path), transparency=legend.transparency)
        return legend.labels(kind, values)

    @property
    def notes(self) -> tuple[tuple[Path, str], ...]:
        """Whatever is not read as it is stored: the first file that shows it, and words about it."""
        return tuple((self.paths[note.picture], note.text) for note in self._legend.notes)

    @property
    def _legend(self) -> Legend:
        return _legend(tuple((path, *_signature(path)) for path in self.paths), self.background)


@lru_cache(maxsize=256)
def _legend(files: tuple[tuple[Path, int, int], ...], background: Background) -> Legend:
    """Look at all masks of a clip. Those that can't be read have no say: `ClipMasks.read` refuses them."""
    shown = False
    for transparency in (True, False):
        tallies: dict[Kind, Tally] = {}
        for number, (path, *_) in enumerate(files):
            try:
                image = open_picture(path)
                kind, values = _values(image, transparency=transparency)
            except PictureError:
                continue
            alpha = _alpha(image)
            shown = shown or alpha is None or bool((alpha > 127).any())
            tallies.setdefault(kind, Tally(kind)).add(values, number)
        if shown:
            break  # else all masks are transparent throughout, and their transparency means nothing
    return decide(tallies, background, transparency=shown)


def _signature(path: Path) -> tuple[int, int]:
    """Return a file's time of change and size, which tell it from an earlier file in its place."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _values(image: Image.Image, *, transparency: bool) -> tuple[Kind, np.ndarray]:
    """Return what a picture stores: its kind, and (H, W) indices u8, greys u8 or u16, or colours u32 as 0xRRGGBB.

    `transparency`: transparent pixels are background; if all that is opaque is black, opacity itself is the mask.
    """
    kind, stored = _stored(image)
    alpha = _alpha(image) if transparency else None
    if alpha is not None:
        if not stored[alpha > 127].any():
            return GREY8, alpha
        stored = np.where(alpha > 127, stored, stored.dtype.type(0))
    return kind, stored


def _stored(image: Image.Image) -> tuple[Kind, np.ndarray]:
    if image.mode == "P":
        if _is_grey_ramp(image):
            return GREY8, np.array(image)
        return (COLOUR, _packed(image)) if _is_shuffled(image) else (INDEX, np.array(image))
    if image.mode == "1":
        return GREY8, np.array(image).astype(np.uint8) * np.uint8(255)
    if image.mode in ("L", "LA"):
        return GREY8, np.array(image.getchannel(0))
    if image.mode.startswith("I"):
        numbers = np.array(image)
        if numbers.min(initial=0) < 0 or numbers.max(initial=0) > TOP[GREY16]:
            raise PictureError("holds numbers beyond 16 bits; labels are 0 to 65535")
        return GREY16, numbers.astype(np.uint16)
    if image.mode in ("RGB", "RGBA"):
        return COLOUR, _packed(image)
    raise PictureError(f"is no mask: pictures of mode {image.mode} hold no labels; save it as indexed PNG")


def _packed(image: Image.Image) -> np.ndarray:
    red, green, blue = np.moveaxis(np.array(image.convert("RGB")).astype(np.uint32), 2, 0)
    return red << 16 | green << 8 | blue


def _alpha(image: Image.Image) -> np.ndarray | None:
    """Return the opacity u8 (H, W) of a picture, or None if it is opaque throughout."""
    if image.mode not in ("LA", "RGBA"):
        return None
    alpha = np.array(image.getchannel("A"))
    return alpha if alpha.min(initial=255) < 255 else None


def _palette(image: Image.Image) -> np.ndarray:
    return np.array(image.getpalette("RGB")).reshape(-1, 3)


def _is_grey_ramp(image: Image.Image) -> bool:
    """Return whether index i of the palette is the grey (i, i, i), as some tools store pictures in 8-bit grey."""
    palette = _palette(image)
    return len(palette) > 2 and bool((palette == np.arange(len(palette))[:, None]).all())


def _is_shuffled(image: Image.Image) -> bool:
    """Return whether a tool has sorted the palette anew: black, the background, is used under another index than 0."""
    palette = _palette(image)
    used = np.unique(np.array(image))
    colours = palette[used[used < len(palette)]]
    return bool(palette[:1].any()) and not bool(colours.any(axis=1).all())
