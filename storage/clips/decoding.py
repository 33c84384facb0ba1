"""Frames of a video file, decoded by PyAV, with all that shows that the file is damaged or cut short."""

from collections.abc import Iterator
from contextlib import contextmanager

import av
import numpy as np
from av.container import InputContainer

from motion_adapt.storage.clips.endings import CUT, missing_end
from motion_adapt.storage.clips.find_clips import Clip, ClipError
from motion_adapt.storage.clips.media import open_container
from motion_adapt.storage.formats.images import MAX_PIXELS, PictureError, open_bytes
from motion_adapt.storage.names import printable

SPARE = 5  # frames by which a video's duration may exceed the time of its last frame
_BOUNDED = {"max_pixels": str(MAX_PIXELS)}  # the decoder's own limit, applied before it allocates memory


def decode_video(
    clip: Clip, limit: int | None, max_pixels: int, warnings: list[str], first: int = 0
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the frames u8 (H, W, 3) RGB of a clip from number `first` on, each with a name for messages.

    Args:
        clip: a clip whose path is a video.
        limit: number of frames to decode at most; None decodes all.
        max_pixels: the largest allowed H * W.
        warnings: gets a line after the last frame if the file is not complete.
        first: number of the first frame; those before it are decoded too.

    Raises:
        ClipError: if the file is damaged, cut short or too large.
    """
    file, decoded, last = printable(clip.path.name), 0, 0.0
    start, stop, step = clip.part(stop=limit).taken
    with _opened(clip) as container:
        stream = _video_stream(clip, container)
        # Threads share the work on one frame. Threads for several frames wait for Python's lock to report damage. The
        # thread that closes the decoder holds that lock and waits for them, so the run would hang.
        stream.thread_type = "SLICE"
        stream.codec_context.options = _BOUNDED
        claimed = f" of the {stream.frames} it claims" if stream.frames else ""
        _check_pixels(clip, stream.codec_context, max_pixels)
        packets = _Packets()
        frames = packets.decode(container, stream)
        while stop is None or decoded < stop:
            try:
                frame = next(frames, None)
                if frame is None:
                    unmet = _unmet_claim(container, stream, decoded, last) or packets.unmet(clip, container)
                    if unmet:
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


def video_outline(clip: Clip) -> tuple[int, int, int]:
    """Return the number of frames, the height and the width that a video states.

    The two are those before a quarter turn that the file asks for: only a decoded frame tells of the turn.
    """
    with _opened(clip) as container:
        stream = _video_stream(clip, container)
        rate = float(stream.average_rate or 0)
        frames = stream.frames or round((container.duration or 0) / av.time_base * rate)
        return frames, stream.height, stream.width


def video_rate(clip: Clip) -> float | None:
    """Return the frames per second that a video states; None if it states none."""
    with _opened(clip) as container:
        rate = _video_stream(clip, container).average_rate
        return float(rate) if rate else None


class _Packets:
    """The packets of a video, counted while they are decoded."""

    def __init__(self) -> None:
        self.first, self.incomplete = 0, 0  # bytes of the first, and how many lack a part

    def decode(self, container: InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
        for packet in container.demux(stream):
            self.first = self.first or packet.size
            self.incomplete += packet.is_corrupt
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                if not packet.is_corrupt:  # the last packet of a file that is cut short is incomplete
                    raise
            else:
                yield from frames

    def unmet(self, clip: Clip, container: InputContainer) -> str | None:
        """Return why the file is not complete, although it has all the frames that it states."""
        if self.incomplete:
            return f"{CUT}{self.incomplete} of its packets are incomplete"
        return missing_end(clip.path, container.format.name, self.first)


def _unmet_claim(container: InputContainer, stream: av.VideoStream, decoded: int, last: float) -> str | None:
    """Return how decoding differs from the frame count the file states or, if it states none, from its duration."""
    if stream.frames:
        return f"claims {stream.frames} frames, {decoded} were decoded" if stream.frames != decoded else None
    end = ((container.start_time or 0) + (container.duration or 0)) / av.time_base  # seconds
    spare = 1.0
    if len(container.streams) == 1 and decoded > 1:  # else sound may last longer than the pictures
        spare = min(
            spare, SPARE * max(0.0, last - (container.start_time or 0) / av.time_base) / (decoded - 1)
        )
    return f"claims to last {end:.1f} s, its last frame is at {last:.1f} s" if end > last + spare else None


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
