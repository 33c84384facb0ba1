"""Frames of a clip, one at a time and fully checked, and the digest that identifies a clip's content.

Any damaged, hostile or merely odd file ends in a ClipError that names the clip and the file. Memory does not grow
with the clip's length. Videos are read by `decoding`, pictures by `storage.formats.images`, stacks of pages by `paged`.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from motion_adapt.storage.clips.decoding import decode_video, video_outline, video_rate
from motion_adapt.storage.clips.find_clips import ALL, Clip, ClipError, TooFewFrames
from motion_adapt.storage.clips.paged import decode_pages, page_outline, page_rate
from motion_adapt.storage.clips.source_layout import pictures
from motion_adapt.storage.formats.images import MAX_PIXELS, PictureError, open_bytes, picture_size, read_rgb
from motion_adapt.storage.formats.stacks import is_stack
from motion_adapt.storage.names import printable

MIN_SIDE = 16  # pixels; feature grids and flow of smaller frames mean nothing


class FrameStream(Iterator[np.ndarray]):
    """Iterator over the frames of one clip in order; `warnings` is complete after the last frame."""

    def __init__(self, frames: Callable[[list[str]], Iterator[np.ndarray]]) -> None:
        self.warnings: list[str] = []
        self._frames = frames(self.warnings)

    def __next__(self) -> np.ndarray:
        return next(self._frames)


def open_frames(clip: Clip, *, limit: int | None = None, max_pixels: int = MAX_PIXELS) -> FrameStream:
    """Open a clip's frames as a stream of u8 (H, W, 3) RGB, all of one size.

    A ClipError may be raised at any frame, and after the last one. Results computed from earlier frames are valid
    only if the stream ends without an error.

    Args:
        clip: the clip to decode.
        limit: number of frames to decode at most, at least 2; None decodes all.
        max_pixels: the largest allowed H * W.

    Raises:
        ValueError: if `limit` is less than 2.
    """
    if limit is not None and limit < 2:
        raise ValueError(f"limit must be at least 2 frames (optical flow needs two), got {limit}")
    source = _decoder(clip)
    return FrameStream(lambda warnings: _checked(clip, source(clip, limit, max_pixels, warnings)))


def decode_from(
    clip: Clip, first: int, *, limit: int | None = None, max_pixels: int = MAX_PIXELS
) -> Iterator[np.ndarray]:
    """Yield a clip's frames u8 (H, W, 3) RGB from number `first` on. Frames before it are decoded only in a video.

    The clip has been read once by `open_frames` with the same `limit`, which makes all checks of the clip as a whole.

    Raises:
        ClipError: if a file cannot be read or decoded.
    """
    for _, frame in _decoder(clip)(clip, limit, max_pixels, [], first):
        yield frame


def content_digest(clip: Clip, *, limit: int | None = None) -> str:
    """Return the SHA-256 (hex) of the bytes of a clip's files, in order. File names and paths do not affect it.

    With `limit`, a folder's digest covers its first `limit` frames; a video's covers the whole file and the limit.

    Raises:
        ClipError: if a file cannot be read.
    """
    total = hashlib.sha256(clip.kind.encode())
    for path in clip.files if clip.kind == "video" else clip.files[:limit]:
        try:
            with open_bytes(path) as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        except PictureError as error:
            raise ClipError(clip.name, f"{printable(path.name)} {error}") from error
        except OSError as error:
            raise ClipError(clip.name, f"{printable(path.name)} cannot be read ({error.strerror})") from error
    if clip.taken != ALL:
        total.update(f"frames {clip.taken}".encode())
    if clip.kind == "video" and limit is not None:
        total.update(f"first {limit} frames".encode())
    return total.hexdigest()


@dataclass(frozen=True)
class Outline:
    """A clip's size as its files state it, before any frame is decoded.

    Attributes:
        frames: number of frames; for a video the number that it claims, or its duration times its rate.
        height: of the first frame, in pixels; of a video before it is turned as its file asks.
        width: likewise.
        bytes: size of its files.
    """

    frames: int
    height: int
    width: int
    bytes: int


def outline(clip: Clip, *, limit: int | None = None) -> Outline:
    """Return the outline of a clip, or of its first `limit` frames, from the headers of its files.

    Raises:
        ClipError: if the first file cannot be read, or the clip has fewer than two frames. A video that states no
            number of frames is not checked for that.
    """
    files = clip.files if clip.kind == "video" else clip.files[:limit]
    if clip.kind == "video":
        stated, height, width = page_outline(clip) if is_stack(clip.path) else video_outline(clip)
        start, stop, step = clip.taken
        frames = len(range(start, stated if stop is None else min(stop, stated), step))
        if stated and frames < 2:
            raise _too_few(clip, frames)
    else:
        frames = len(files)
        if frames < 2:  # there may be no first file
            raise _too_few(clip, frames)
        try:
            height, width = picture_size(files[0])
        except PictureError as error:
            raise ClipError(clip.name, f"{printable(files[0].name)} {error}") from error
    try:
        size = sum(path.stat().st_size for path in files)
    except OSError as error:
        raise ClipError(
            clip.name, f"{printable(clip.path.name)} cannot be read ({error.strerror})"
        ) from error
    return Outline(min(frames, limit) if limit else frames, height, width, size)


def frame_rate(clip: Clip) -> float | None:
    """Return the frames per second that a video states; None for a folder of frames or if the video states none."""
    if clip.kind == "frames":
        return None
    rate = page_rate(clip) if is_stack(clip.path) else video_rate(clip)
    return rate / clip.taken[2] if rate else None


def _checked(clip: Clip, frames: Iterator[tuple[str, np.ndarray]]) -> Iterator[np.ndarray]:
    """Yield the frames without their names; check that they share one sufficient size and number at least two."""
    count, first = 0, ""
    size = (0, 0)
    for name, frame in frames:
        height, width = frame.shape[:2]
        if count == 0:
            first, size = name, (height, width)
            if min(size) < MIN_SIDE:
                raise ClipError(
                    clip.name,
                    f"{name} is {width}x{height}: too small, each side needs at least {MIN_SIDE} pixels",
                )
        if (height, width) != size:
            raise ClipError(clip.name, f"{name} is {width}x{height}, but {first} is {size[1]}x{size[0]}")
        count += 1
        yield frame
    if count < 2:
        raise _too_few(clip, count)


def _too_few(clip: Clip, count: int) -> TooFewFrames:
    name, found = printable(clip.path.name), count or "none"
    part = clip.taken != ALL or (clip.kind == "frames" and len(pictures(clip.path)) > len(clip.files))
    told = f"{found} of those of {name} is taken" if part else f"{name} has {found}"
    return TooFewFrames(clip.name, f"needs at least two frames, {told}")


Decoder = Callable[..., Iterator[tuple[str, np.ndarray]]]


def _decoder(clip: Clip) -> Decoder:
    """Return what yields a clip's frames, each with a name for messages."""
    if clip.kind == "frames":
        return _decode_pictures
    return decode_pages if is_stack(clip.path) else decode_video


def _decode_pictures(
    clip: Clip, limit: int | None, max_pixels: int, warnings: list[str], first: int = 0
) -> Iterator[tuple[str, np.ndarray]]:
    for path in clip.files[first:limit]:
        try:
            yield printable(path.name), read_rgb(path, max_pixels=max_pixels)
        except PictureError as error:
            raise ClipError(clip.name, f"{printable(path.name)} {error}") from error
