"""What the file of one mask stores, before any rule says what it means.

    indexed                    INDEX, with the palette; GREY8 if index i is the grey i
    grey of 1 or 8 bits        GREY8
    grey of 16 or 32 bits      GREY16
    RGB                        COLOUR
    RGB of 16 bits             GREY16 if the channels are equal, COLOUR if the values are those of 8 bits times 257
    JPEG and other lossy ones  LOSSY, if all is grey
    alpha, a transparent value opacity, in addition to one of these

Anything else is refused: it can't be read exactly.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from PIL import Image

from motion_adapt.storage.formats.images import PictureError, open_stored

Kind = Literal["index", "grey8", "grey16", "lossy", "colour"]
INDEX: Kind = "index"
GREY8: Kind = "grey8"
GREY16: Kind = "grey16"
LOSSY: Kind = "lossy"
COLOUR: Kind = "colour"
TOP = {INDEX: 255, GREY8: 255, GREY16: 65535, LOSSY: 255}
GREY_STEP = 0x010101  # between neighbouring greys as colours
WANTED = "save it as indexed PNG"
_TINT = 12  # the most that the channels of a grey may differ in a lossy picture
_UNREADABLE = f"has 16 bits per channel in a way that can't be read exactly; {WANTED}"
_ONE_BYTE = 257  # between neighbouring values of 8 bits as values of 16


class Palette(NamedTuple):
    """The colours of all 256 indices, u32 (256,) as 0xRRGGBB, and their opacity, u8 (256,)."""

    colours: np.ndarray
    opacity: np.ndarray


@dataclass(frozen=True)
class Stored:
    """A mask as it is stored.

    Attributes:
        kind: what the values are.
        values: (H, W); indices and greys are u8, greys of 16 bits u16, colours u32 as 0xRRGGBB.
        opacity: u8 (H, W), or None if the file says nothing about it.
        palette: of indices, else None.
        orientation: how a viewer turns the picture; 1 is upright.
    """

    kind: Kind
    values: np.ndarray
    opacity: np.ndarray | None = None
    palette: Palette | None = None
    orientation: int = 1

    def coloured(self) -> "Stored":
        """Return the colours that a palette gives to the indices; a mask without one as it is."""
        if self.palette is None:
            return self
        return Stored(
            COLOUR,
            self.palette.colours[self.values],
            self.palette.opacity[self.values],
            None,
            self.orientation,
        )


def stored_mask(path: Path) -> Stored:
    """Decode the file of a mask.

    Raises:
        PictureError: if it is damaged, or its values can't be read exactly; says what was found and what is wanted.
    """
    image, storage = open_stored(path)
    if storage.pictures > 1:
        raise PictureError(f"holds {storage.pictures} pictures; store one mask per file")
    if image.format == "TIFF" and storage.orientation != 1:
        raise PictureError(f"is to be turned (TIFF orientation {storage.orientation}); save it upright")
    if storage.lossy:
        return Stored(LOSSY, _lossy(image), None, None, storage.orientation)
    if storage.inverted:
        raise PictureError(f"has greys of 16 bits in which 0 is white; {WANTED} or in 8 bits")
    if storage.stretched and not _is_two_valued(image):
        raise PictureError(
            "has grey levels in 2 or 4 bits or with a maximum of its own, so 1 may be a label or a share of white; "
            f"{WANTED} or in 8 bits"
        )
    if storage.deep:
        kind, values, opacity = _deep(path, image)
        return Stored(kind, values, opacity, None, storage.orientation)
    kind, values = _values(image)
    if kind == INDEX:
        return Stored(kind, values, None, _palette(image), storage.orientation)
    return Stored(kind, values, _opacity(image, values), None, storage.orientation)


def _values(image: Image.Image) -> tuple[Kind, np.ndarray]:
    if image.mode == "P":
        return GREY8 if _is_grey_ramp(image) else INDEX, np.array(image)
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
        return COLOUR, packed(np.array(image))
    raise PictureError(f"is no mask: pictures of mode {image.mode} hold no labels; {WANTED}")


def packed(rgb: np.ndarray) -> np.ndarray:
    """Return colours u8 (..., 3 or more) as u32 (...), 0xRRGGBB."""
    red, green, blue = np.moveaxis(rgb[..., :3].astype(np.uint32), -1, 0)
    return red << 16 | green << 8 | blue


def _opacity(image: Image.Image, values: np.ndarray) -> np.ndarray | None:
    """Return the opacity u8 (H, W) by an alpha channel or a single transparent value, None without either."""
    if image.mode in ("LA", "RGBA"):
        return np.array(image.getchannel("A"))
    clear = image.info.get("transparency")
    if clear is None:
        return None
    if image.mode == "P":  # a grey ramp
        return _palette(image).opacity[values]
    if isinstance(clear, tuple):
        clear = packed(np.array(clear))
    return np.where(values == clear, 0, 255).astype(np.uint8)


def _palette(image: Image.Image) -> Palette:
    """Return the palette of an indexed picture. Indices beyond its end are black."""
    stored = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)[:256]
    colours, opacity = np.zeros(256, np.uint32), np.full(256, 255, np.uint8)
    colours[: len(stored)] = packed(stored)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        opacity[clear] = 0
    elif clear:
        told = np.frombuffer(clear, np.uint8)[:256]
        opacity[: len(told)] = told
    return Palette(colours, opacity)


def _is_grey_ramp(image: Image.Image) -> bool:
    """Return whether index i of the palette is the grey (i, i, i), as some tools store pictures in 8-bit grey."""
    palette = np.array(image.getpalette("RGB")).reshape(-1, 3)
    return len(palette) > 2 and bool((palette == np.arange(len(palette))[:, None]).all())


def _is_two_valued(image: Image.Image) -> bool:
    """Return whether a picture has no other numbers than 0 and the greatest one, which are the same in any scale."""
    top = TOP[GREY16] if image.mode.startswith("I") else 255
    return bool(np.isin(np.array(image), (0, top)).all())


def _lossy(image: Image.Image) -> np.ndarray:
    """Return the greys u8 (H, W) of a lossy picture."""
    if image.mode not in ("L", "RGB"):
        raise PictureError(f"is stored with loss ({image.format}), which changes labels; {WANTED}")
    rgb = np.array(image.convert("RGB"))
    if int((rgb.max(axis=2) - rgb.min(axis=2)).max(initial=0)) > _TINT:
        raise PictureError(f"is stored with loss ({image.format}), which changes colours; {WANTED}")
    return rgb[..., 1]


def _deep(path: Path, image: Image.Image) -> tuple[Kind, np.ndarray, np.ndarray | None]:
    """Return the kind, values and opacity of a picture whose channels have 16 bits, which Pillow cuts to 8.

    What OpenCV reads must agree with the upper 8 bits of Pillow, which knows more kinds of files.
    """
    upper, read = np.array(image), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if read is None or read.dtype != np.uint16 or read.shape != upper.shape or "transparency" in image.info:
        raise PictureError(_UNREADABLE)
    channels = np.asarray(
        cv2.cvtColor(read, cv2.COLOR_BGR2RGB if read.shape[2] == 3 else cv2.COLOR_BGRA2RGBA), np.uint16
    )
    if (channels >> 8 != upper).any():
        raise PictureError(_UNREADABLE)
    colours = channels[..., :3]
    # Shares of white: half stays half, whatever is rounded.
    opacity = (channels[..., 3] >> 8).astype(np.uint8) if channels.shape[2] == 4 else None
    flat = np.isin(colours, (0, TOP[GREY16])).all()  # black, white, red...: colours whatever else they are
    if not flat and (colours == colours[..., :1]).all():
        return GREY16, colours[..., 0], opacity
    if (colours % _ONE_BYTE).any():
        raise PictureError(
            f"has colours of 16 bits per channel, which 8 bits can't tell apart; {WANTED} or in 8 bits"
        )
    return COLOUR, packed(colours // _ONE_BYTE), opacity
