"""One picture file, decoded strictly or refused with a short reason.

Pillow decodes here rather than OpenCV, which returns a half-grey picture for a JPEG that is cut short and rotates
pictures by their EXIF orientation. Orientation is ignored throughout, except that Pillow turns TIFFs upright.
"""

import warnings
from io import BufferedReader
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

from motion_adapt.storage.formats.picture_storage import Storage, storage_of

# Only formats that Pillow decodes itself: no PostScript, no plugin that starts another program.
FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP",
    ".bmp": "BMP", ".ppm": "PPM", ".pgm": "PPM", ".pbm": "PPM", ".pnm": "PPM", ".jpe": "JPEG", ".jfif": "JPEG",
    ".avif": "AVIF", ".gif": "GIF", ".jp2": "JPEG2000", ".j2k": "JPEG2000", ".tga": "TGA", ".qoi": "QOI",
}  # fmt: skip
PILLOW_FORMATS = sorted(set(FORMATS.values()))
MAX_PIXELS = 2**26  # 8192 x 8192, twice an 8K frame

# Pillow's own warning goes to stderr and names no clip. Sizes are checked below, before anything is decoded.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class PictureError(ValueError):
    """A picture file cannot be used. The message is a short reason without the file's name."""


def open_bytes(path: Path) -> BufferedReader:
    """Open a file for reading.

    Raises:
        PictureError: if it is not a readable, regular, non-empty file.
    """
    try:
        if path.is_dir():
            raise PictureError("is a folder, not a file")
        if not path.exists():
            raise PictureError("is a broken link" if path.is_symlink() else "does not exist")
        if not path.is_file():
            raise PictureError("is not a regular file")
        if path.stat().st_size == 0:
            raise PictureError("is empty (zero bytes)")
        return path.open("rb")
    except OSError as error:
        raise PictureError(f"cannot be read ({error.strerror or type(error).__name__})") from error


def open_picture(path: Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a picture completely, in the mode in which it is stored; colours of 16 bits are cut to 8.

    Raises:
        PictureError: if the file cannot be read or decoded, or has more than `max_pixels` pixels.
    """
    return open_stored(path, max_pixels=max_pixels)[0]


def open_stored(path: Path, *, max_pixels: int = MAX_PIXELS) -> tuple[Image.Image, Storage]:
    """Decode a picture as `open_picture` does. Returns also how the file stores it.

    Raises:
        PictureError: as in `open_picture`.
    """
    with open_bytes(path) as file:
        try:
            image = Image.open(file, formats=PILLOW_FORMATS)
            check_pixels(image, max_pixels)
            storage = storage_of(image, file)
            image.load()
            return image, storage
        except PictureError:
            raise
        except UnidentifiedImageError as error:
            raise PictureError("is not a picture") from error
        except Image.DecompressionBombError as error:
            raise PictureError(f"has more than the {max_pixels} pixels allowed") from error
        except Exception as error:  # Pillow's readers raise nearly anything on damaged bytes
            raise PictureError("is damaged or cut short") from error


def check_pixels(image: Image.Image, max_pixels: int) -> None:
    """Check the size of an open picture, and of its tiles, before it is decoded.

    Raises:
        PictureError: if it has more than `max_pixels` pixels.
    """
    for (width, height), what in ((image.size, "is"), (_tile_size(image), "has tiles of")):
        if width * height > max_pixels:
            raise PictureError(f"{what} {width}x{height}, more than the {max_pixels} pixels allowed")


def picture_size(path: Path) -> tuple[int, int]:
    """Return (height, width) from a picture's header, without decoding it.

    Raises:
        PictureError: if the file is no picture.
    """
    with open_bytes(path) as file:
        try:
            width, height = Image.open(file, formats=PILLOW_FORMATS).size
        except Exception as error:  # as in `open_picture`
            raise PictureError("is not a picture") from error
    return height, width


def _tile_size(image: Image.Image) -> tuple[int, int]:
    """Return (width, height) of a TIFF's tiles, else zeros. Tiles are decoded whole, even of a smaller picture."""
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    return int(tags.get(TILEWIDTH, 0)), int(tags.get(TILELENGTH, 0))


def read_rgb(path: Path, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture as u8 (H, W, 3) RGB: grey is repeated, alpha dropped, and 16 bits are scaled to 8.

    Raises:
        PictureError: as in `open_picture`, and if the picture has 32 bits per channel.
    """
    return as_rgb(open_picture(path, max_pixels=max_pixels))


def as_rgb(image: Image.Image) -> np.ndarray:
    """Return a decoded picture as `read_rgb` does.

    Raises:
        PictureError: if the picture has 32 bits per channel.
    """
    pgm = image.mode == "I" and image.format == "PPM"  # has 16 bits at most, although the mode could hold 32
    if image.mode.startswith("I;16") or pgm:
        grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise PictureError("has 32 bits per channel; only 8 and 16 are supported")
    return np.array(image.convert("RGB"))
