"""Frames of a clip whose file is a stack of pages or an animated picture, decoded by Pillow."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from motion_adapt.storage.clips.endings import missing_end
from motion_adapt.storage.clips.find_clips import Clip, ClipError
from motion_adapt.storage.formats.images import PictureError, as_rgb, check_pixels, open_bytes
from motion_adapt.storage.formats.stacks import PAGED, count_pages, pages
from motion_adapt.storage.names import printable


def decode_pages(
    clip: Clip, limit: int | None, max_pixels: int, warnings: list[str], first: int = 0
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the frames u8 (H, W, 3) RGB of a clip from number `first` on, each with a name for messages.

    Args:
        clip: a clip whose path is a stack.
        limit: number of frames to decode at most; None decodes all.
        max_pixels: the largest allowed H * W.
        warnings: gets a line if a GIF file is cut short; of another format, that is an error.
        first: number of the first frame.

    Raises:
        ClipError: if the file is damaged, cut short or too large.
    """
    file = printable(clip.path.name)
    start, stop, step = clip.part(stop=limit).taken
    with _opened(clip) as image:
        for number, _ in enumerate(pages(image)):
            if stop is not None and number >= stop:
                return
            if number >= start + step * first and (number - start) % step == 0:
                check_pixels(image, max_pixels)
                image.load()
                yield f"page {number} of {file}", as_rgb(image)
        if image.format == "GIF" and (missing := missing_end(clip.path, "gif")):
            warnings.append(f"{clip.name}: {file} {missing}")


def page_outline(clip: Clip) -> tuple[int, int, int]:
    """Return the number of pages, the height and the width, without decoding any.

    Raises:
        ClipError: if the file is damaged.
    """
    with _opened(clip) as image:
        width, height = image.size
        return count_pages(image), height, width


def page_rate(clip: Clip) -> float | None:
    """Return the frames per second that an animated picture states for its first page; None if it states none."""
    with _opened(clip) as image:
        next(pages(image))
        image.load()  # WebP's readers know the duration only then
        milliseconds = float(image.info.get("duration") or 0)
    return 1000 / milliseconds if milliseconds else None


@contextmanager
def _opened(clip: Clip) -> Iterator[Image.Image]:
    name = printable(clip.path.name)
    try:
        with open_bytes(clip.path) as file, Image.open(file, formats=PAGED) as image:
            yield image
    except PictureError as error:
        raise ClipError(clip.name, f"{name} {error}") from error
    except Exception as error:  # Pillow's readers raise nearly anything on damaged bytes
        raise ClipError(clip.name, f"{name} is damaged or cut short") from error
