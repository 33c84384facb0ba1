"""Picture files with several pages: animated WebP, PNG and AVIF files, and TIFF files with a stack of frames.

GIF files count only if they state no times: FFmpeg, which decodes all others, takes the pictures of these for one.

A page counts if it has the size of the first one. A TIFF file's thumbnails and masks are no pages, nor is the still
picture of a PNG file that older programs show in place of the animation.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from PIL import Image

from motion_adapt.storage.formats.images import FORMATS

PAGED = ("TIFF", "WEBP", "PNG", "AVIF", "GIF")
SUFFIXES = frozenset(suffix for suffix, name in FORMATS.items() if name in PAGED)
_HEAD = 4096  # bytes that tell most files with one page from others
_SUBFILE, _NOT_A_PAGE = (
    254,
    0b101,
)  # TIFF's tag for the kind of a page, and its bits for a thumbnail and a mask


def is_stack(path: Path) -> bool:
    """Return whether a file has two pages or more, or is an animation that is damaged."""
    try:
        with path.open("rb") as file:
            animation = _is_animation(file.read(_HEAD))
    except OSError:
        return False
    if animation is False:
        return False
    try:
        with Image.open(path, formats=PAGED) as image:
            if image.format == "GIF" and "duration" in image.info:
                return False
            found = pages(image)
            next(found)
            return next(found, None) is not None
    except Exception:  # Pillow's readers raise nearly anything on damaged bytes
        return animation is True


def pages(image: Image.Image) -> Iterator[int]:
    """Yield the numbers of an open picture's pages, and move to each; its pixels are not decoded yet.

    Raises:
        Exception: of nearly any type, if the file is damaged or cut short.
    """
    size = image.size
    for page in count(1 if getattr(image, "default_image", False) else 0):
        try:
            image.seek(page)
        except EOFError:
            return
        kind = int(getattr(image, "tag_v2", {}).get(_SUBFILE, 0))
        if image.size == size and not kind & _NOT_A_PAGE:
            yield page


def count_pages(image: Image.Image) -> int:
    """Return the number of an open picture's pages. The header of an animation states it.

    Raises:
        Exception: of nearly any type, if the file is damaged or cut short.
    """
    if image.format == "TIFF":
        return sum(1 for _ in pages(image))
    return int(getattr(image, "n_frames", 1)) - bool(getattr(image, "default_image", False))


def _is_animation(head: bytes) -> bool | None:
    """Return whether the first bytes of a file are those of an animation; None: they leave it open."""
    if head.startswith((b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return None
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return True if b"acTL" in head.partition(b"IDAT")[0] else (False if b"IDAT" in head else None)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return head[12:16] == b"VP8X" and bool(head[20:21] and head[20] & 2)
    return head[4:8] == b"ftyp" and b"avis" in head[8:64]
