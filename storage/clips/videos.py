"""Frames of a clip, one at a time and fully checked, and the digest that identifies a clip's content.

Any damaged, hostile or merely odd file ends in a ClipError that names the clip and the file. Memory does not grow
with the clip's length. Videos are decoded by PyAV, pictures by `storage.formats.images`.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import av
import numpy as np
from av.container import InputContainer

from motion_adapt.storage.clips.find_clips import ALL, Clip, ClipError, TooFewFrames
from motion_adapt.storage.clips.media import open_container
from motion_adapt.storage.formats.images import MAX_PIXELS, PictureError, open_bytes, picture_size, read_rgb
from motion_adapt.storage.names import printable

MIN_SIDE = 16  # pixels; feature grids and flow of smaller frames mean nothing

_BOUNDED = {"max_pixels": str(MAX_PIXELS)}  # the decoder's own limit, applied before it allocates memory


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
    source = _decode_video if clip.kind == "video" else _decode_pictures
    return FrameStream(lambda warnings: _checked(clip, source(clip, limit, max_pixels, warnings)))


def decode_from(
    clip: Clip, first: int, *, limit: int | None = None, max_pixels: int = MAX_PIXELS
) -> Iterator[np.ndarray]:
    """Yield a clip's frames u8 (H, W, 3) RGB from number `first` on. Frames before it are decoded only in a video.

    The clip has been read once by `open_frames` with the same `limit`, which makes all checks of the clip as a whole.

    Raises:
        ClipError: if a file cannot be read or decoded.
    """
    source = _decode_video if clip.kind == "video" else _decode_pictures
    for _, frame in source(clip, limit, max_pixels, [], first):
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
        height: of the first frame, in pixels.
        width: of the first frame, in pixels.
        bytes: size of its files.
    """

    frames: int
    height: int
    width: int
    bytes: int


def outline(clip: Clip, *, limit: int | None = None) -> Outline:
    """Return the outline of a clip, or of its first `limit` frames, from the headers of its files.

    Raises:
        ClipError: if the first file cannot be read, or the clip has fewer than two frames.
    """
    files = clip.files if clip.kind == "video" else clip.files[:limit]
    if clip.kind == "video":
        with _opened(clip) as container:
            stream = _video_stream(clip, container)
            rate = float(stream.average_rate or 0)
            frames = stream.frames or round((container.duration or 0) / av.time_base * rate)
            start, stop, step = clip.taken
            frames = len(range(start, frames if stop is None else min(stop, frames), step))
            height, width = stream.height, stream.width
    else:
        frames = len(files)
        try:
            height, width = picture_size(files[0])
        except PictureError as error:
            raise ClipError(clip.name, f"{printable(files[0].name)} {error}") from error
        if frames < 2:
            raise _too_few(clip, frames)
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
    with _opened(clip) as container:
        rate = _video_stream(clip, container).average_rate
        return float(rate) / clip.taken[2] if rate else None


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
    return TooFewFrames(
        clip.name, f"needs at least two frames, {printable(clip.path.name)} has {count or 'none'}"
    )


def _decode_pictures(
    clip: Clip, limit: int | None, max_pixels: int, warnings: list[str], first: int = 0
) -> Iterator[tuple[str, np.ndarray]]:
    for path in clip.files[first:limit]:
        try:
            yield printable(path.name), read_rgb(path, max_pixels=max_pixels)
        except PictureError as error:
            raise ClipError(clip.name, f"{printable(path.name)} {error}") from error


def _decode_video(
    clip: Clip, limit: int | None, max_pixels: int, warnings: list[str], first: int = 0
) -> Iterator[tuple[str, np.ndarray]]:
    file, decoded, last = printable(clip.path.name), 0, 0.0
    start, stop, step = clip.taken
    if limit is not None:
        stop = min(start + step * limit, start + step * limit if stop is None else stop)
    with _opened(clip) as container:
        stream = _video_stream(clip, container)
        stream.thread_type = "AUTO"
        stream.codec_context.options = _BOUNDED
        claimed = f" of the {stream.frames} it claims" if stream.frames else ""
        _check_pixels(clip, stream.codec_context, max_pixels)
        frames = container.decode(stream)
        while stop is None or decoded < stop:
            try:
                frame = next(frames, None)
                if frame is None:
                    if unmet := _unmet_claim(container, stream, decoded, last):
                        warnings.append(f"{clip.name}: {file} {unmet}")
                    return
                _check_pixels(clip, frame, max_pixels)
                if frame.is_corrupt:
                    raise ClipError(clip.name, f"{file} is damaged at frame {decoded}{claimed}")
                wanted = decoded >= start + step * first and (decoded - start) % step == 0
                pixels = frame.to_ndarray(format="rgb24") if wanted else np.empty((0, 0, 3), np.uint8)
                pixels = np.rot90(pixels, round(frame.rotation / 90))
            except (av.FFmpegError, OSError, MemoryError) as error:
                reason = f"{file} is damaged: {decoded} frames were decoded{claimed}"
                if not stream.width:  # opening the file found no size within bounds either
                    reason = f"{file} is damaged, or has more than the {MAX_PIXELS} pixels allowed"
                raise ClipError(clip.name, reason) from error
            if wanted:
                yield f"frame {decoded} of {file}", np.ascontiguousarray(pixels)
            decoded, last = decoded + 1, frame.time or last


def _unmet_claim(container: InputContainer, stream: av.VideoStream, decoded: int, last: float) -> str | None:
    """Return how decoding differs from the frame count the file states or, if it states none, from its duration."""
    if stream.frames:
        return f"claims {stream.frames} frames, {decoded} were decoded" if stream.frames != decoded else None
    end = ((container.start_time or 0) + (container.duration or 0)) / av.time_base  # seconds
    return f"claims to last {end:.1f} s, its last frame is at {last:.1f} s" if end > last + 1 else None


@contextmanager
def _opened(clip: Clip) -> Iterator[InputContainer]:
    # Pass an open file rather than a name: FFmpeg reads some names as URLs and cannot open others.
    name = printable(clip.path.name)
    try:
        file = open_bytes(clip.path)
    except PictureError as error:
        raise ClipError(clip.name, f"{name} {error}") from error
    with file:
        try:
            container = open_container(file, _BOUNDED)  # bounded, because opening already decodes frames
        except (av.FFmpegError, OSError, ValueError) as error:
            raise ClipError(
                clip.name, f"{name} is not a video, or one cut short: it does not open"
            ) from error
        with container:
            yield container


def _video_stream(clip: Clip, container: InputContainer) -> av.VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, av.VideoStream):
        raise ClipError(clip.name, f"{printable(clip.path.name)} has no pictures in it, only sound or data")
    if stream.codec_context is None:  # if no decoder knows the stream, although the type excludes it
        raise ClipError(clip.name, f"{printable(clip.path.name)} is damaged, or its codec is not known")
    return stream


def _check_pixels(clip: Clip, picture: av.VideoCodecContext | av.VideoFrame, max_pixels: int) -> None:
    if picture.width * picture.height > max_pixels:
        size = f"{picture.width}x{picture.height}"
        raise ClipError(
            clip.name, f"{printable(clip.path.name)} is {size}, more than the {max_pixels} pixels allowed"
        )
