"""Tell videos from pictures: by the suffix of the file if it is a usual one, else by the decoder that opens it."""

import mimetypes
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Literal

import av
from av.container import InputContainer
from PIL import Image

from motion_adapt.storage.formats.images import FORMATS

Kind = Literal["video", "picture"]

VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".qt", ".avi", ".divx", ".webm", ".mkv", ".mts", ".m2ts", ".mpg", ".mpeg", ".m2v", ".vob",
    ".wmv", ".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".mxf", ".dv", ".y4m", ".mjpeg", ".apng", ".ivf", ".rmvb",
})  # fmt: skip
# Containers that hold their own data. Playlists are excluded: the decoder would open other files and addresses.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpegts,mpeg,mpegvideo,asf,flv,gif,ogg,mxf,dv,rm,yuv4mpegpipe,mjpeg,apng,"
    "nut,ivf,h264,hevc,obu,av1,m4v,wtv"
)
# PyAV before 19 refuses files with titles and alike in another encoding than UTF-8, unless it is told otherwise.
_LENIENT: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {}


def open_container(file: BinaryIO, options: dict[str, str] | None = None) -> InputContainer:
    """Open a video that holds its own data, with these options of FFmpeg. A title in any encoding is no error.

    Raises:
        av.FFmpegError, OSError, ValueError: it is no such video.
    """
    return av.open(
        file, "r", container_options={"format_whitelist": CONTAINERS}, options=options or {}, **_LENIENT
    )


def kind_of(path: Path) -> Kind | None:
    """Return what a file is; None for a folder, and for a file that is neither a video nor a picture.

    A file with a usual suffix counts as what the suffix says, damaged or not. A GIF is a video if it is animated.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        return None
    if suffix in VIDEO_SUFFIXES:
        return "video"
    if suffix in FORMATS and suffix != ".gif":
        return "picture"
    try:
        status = path.stat()
    except OSError:  # a broken link, or not readable
        return "picture" if suffix in FORMATS else None
    return _look(path, status.st_size, status.st_mtime_ns)


def is_video(path: Path) -> bool:
    """Return whether the path is a video's, and no folder's."""
    return kind_of(path) == "video"


@lru_cache(maxsize=4096)
def _look(path: Path, size: int, changed: int) -> Kind | None:
    """Return what a file is by its content. Size and time of change tell its contents apart."""
    suffix = path.suffix.lower()
    if suffix in FORMATS:
        try:
            with Image.open(path, formats=["GIF"]) as picture:
                return "video" if getattr(picture, "is_animated", False) else "picture"
        # Pillow's readers raise nearly anything; a damaged picture is reported when it is decoded.
        except Exception:
            return "picture"
    guessed = (mimetypes.guess_type(path.name)[0] or "").partition("/")[0]
    if not size or not path.is_file() or guessed in ("text", "application", "audio", "font"):
        return None
    try:
        with Image.open(path, formats=sorted(set(FORMATS.values()))):
            return "picture"
    except Exception:
        return "video" if _opens_as_video(path) else None


def _opens_as_video(path: Path) -> bool:
    try:
        with path.open("rb") as file, open_container(file) as opened:
            stream = opened.streams.best("video")
            return isinstance(stream, av.VideoStream) and bool(stream.codec_context and stream.width)
    except (av.FFmpegError, OSError, ValueError):
        return False
