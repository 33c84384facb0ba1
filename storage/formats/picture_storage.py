"""How a file stores its picture: whatever decoding changes or leaves out, which the decoded picture does not show."""

from typing import BinaryIO, NamedTuple

from PIL import ExifTags, Image, ImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

_LOSSY = {
    "JPEG",
    "MPO",
    "JPEG2000",
    "AVIF",
}  # the latter two can be lossless, but do not say whether they are
_LOSSY_IN_TIFF = {"jpeg", "tiff_jpeg", "webp", "jpeg2000"}


class Storage(NamedTuple):
    """What a file says about its picture.

    Attributes:
        pictures: how many there are in the file; the first one is decoded.
        lossy: whether the values may be other ones than those that were saved.
        deep: whether colours or opacity have 16 bits, of which decoding keeps the upper 8.
        stretched: whether decoding multiplies the numbers, as it does with greys of 2 or 4 bits.
        inverted: whether 0 is white after decoding.
        orientation: how a viewer turns the picture (EXIF); 1 is upright.
    """

    pictures: int
    lossy: bool
    deep: bool
    stretched: bool
    inverted: bool
    orientation: int


def storage_of(image: Image.Image, file: BinaryIO) -> Storage:
    """Return how an opened picture is stored. Call it before the picture is decoded."""
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else None
    raw, *more = _arguments(image)
    numbers, inverted = image.mode[0] in "IF", False
    if image.format == "PPM":
        top = int(more[0]) if more else 255
        deep, stretched = top == 65535 and not numbers, top not in (255, 65535)
    elif tags is not None:
        bits = max(tags.get(BITSPERSAMPLE, (1,)))
        deep, stretched = bits > 8 and not numbers, 1 < bits < 8 and image.mode != "P"
        inverted = numbers and tags.get(PHOTOMETRIC_INTERPRETATION) == 0
    else:
        deep, stretched = ";16" in raw and not numbers, raw in ("L;2", "L;4")
    lossy = (
        image.format in _LOSSY
        or (tags is not None and image.info.get("compression") in _LOSSY_IN_TIFF)
        or (image.format == "WEBP" and not _is_lossless_webp(file))
    )
    return Storage(
        getattr(image, "n_frames", 1),
        lossy,
        deep,
        stretched,
        inverted,
        image.getexif().get(ExifTags.Base.Orientation, 1),
    )


def _arguments(image: Image.Image) -> tuple[str, ...]:
    """Return the layout of the stored values, such as 'RGB;16B', and what else the decoder is told."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    told = tiles[0][3] if tiles else ""
    return (told,) if isinstance(told, str) else tuple(map(str, told or ("",)))


def _is_lossless_webp(file: BinaryIO) -> bool:
    """Return whether the picture of a WebP file is in a chunk of the lossless kind. The file's position is kept."""
    here = file.tell()
    file.seek(12)  # the header: RIFF, a size, WEBP
    try:
        while len(head := file.read(8)) == 8:
            if head[:4] in (b"VP8L", b"VP8 "):
                return head[:4] == b"VP8L"
            size = int.from_bytes(head[4:], "little")
            file.seek(size + size % 2, 1)
        return False
    finally:
        file.seek(here)
