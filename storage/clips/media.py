"""Tell videos from pictures: by the suffix of the file if it is a usual one, else by its content."""

from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Literal

import av
from av.container import InputContainer
from av.stream import Disposition
from PIL import Image

from motion_adapt.storage.formats.images import FORMATS, PILLOW_FORMATS
from motion_adapt.storage.formats.stacks import SUFFIXES, is_stack

Kind = Literal["video", "picture"]

VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".qt", ".avi", ".divx", ".webm", ".mkv", ".mts", ".m2ts", ".mpg", ".mpeg", ".m2v", ".vob",
    ".wmv", ".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".mxf", ".dv", ".y4m", ".mjpeg", ".apng", ".ivf", ".rmvb",
})  # fmt: skip
# Containers that hold their own data. Playlists are excluded: the decoder would open other files and addresses.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpegts,mpeg,mpegvideo,asf,flv,gif,ogg,mxf,dv,rm,yuv4mpegpipe,mjpeg,apng,"
    "nut,ivf,h264,hevc,obu,av1,m4v,wtv,swf,nsv,nuv,gxf,lxf,pva,ty,cine,flic,dhav,live_flv,kux,ivr,mods,dirac,vc1,vvc,"
    "cavsvideo,avs2,avs3,smk,bink,roq,4xm,film_cpk,thp"
)
# First bytes of files that are no videos and may be many or large; the decoder would read up to 1 MB of each.
_OTHERS = (
    b"PK", b"%PDF", b"\x1f\x8b", b"\x93NUMPY", b"\x89HDF", b"SQLite format 3", b"\x7fELF", b"\xfd7zXZ", b"7z\xbc\xaf",
    b"ID3", b"fLaC", b"\xd0\xcf\x11\xe0", b"BZh", b"\x28\xb5\x2f\xfd",
)  # fmt: skip
_HEAD = 4096  # bytes by which text is recognised
_IN_TEXT = bytes([*range(0x07, 0x0E), 0x1B, *range(0x20, 0x7F), *range(0x80, 0x100)])
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

    A file with a usual suffix counts as what the suffix says, damaged or not. A picture with several frames or pages,
    such as an animated GIF, WebP or PNG file or a TIFF stack, is a video.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        return None
    if suffix in VIDEO_SUFFIXES:
        return "video"
    if suffix in FORMATS and suffix not in SUFFIXES and suffix != ".gif":
        return "picture"
    try:
        status = path.stat()
    except OSError:  # a broken link, or not readable
        return "picture" if suffix in FORMATS else None
    return _look(path, status.st_size, status.st_mtime_ns)


def is_video(path: Path) -> bool:
    """Return whether the path is a video's, and no folder's."""
    return kind_of(path) == "video"


@lru_cache(maxsize=2**16)
def _look(path: Path, size: int, changed: int) -> Kind | None:
    """Return what a file is by its content. Size and time of change tell its contents apart."""
    suffix = path.suffix.lower()
    if suffix == ".gif" and path.is_file():
        try:
            with Image.open(path, formats=["GIF"]) as picture:
                return "video" if getattr(picture, "is_animated", False) else "picture"
        # Pillow's readers raise nearly anything; a damaged picture is reported when it is decoded.
        except Exception:
            return "picture"
    if suffix in FORMATS:
        return "video" if path.is_file() and is_stack(path) else "picture"
    if not size or not path.is_file() or _is_no_medium(path):
        return None
    if is_stack(path):
        return "video"
    try:
        with Image.open(path, formats=PILLOW_FORMATS) as picture:
            return (
                "video" if picture.format == "GIF" and getattr(picture, "is_animated", False) else "picture"
            )
    except Exception:
        return "video" if _opens_as_video(path) else None


def _is_no_medium(path: Path) -> bool:
    """Return whether a file is text, as TypeScript's `.ts` files are, or of a kind that is never a video."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return True
    text = not head.translate(None, _IN_TEXT) and not head.startswith(b"YUV4MPEG2 ")
    return text or head.startswith(_OTHERS)


def _opens_as_video(path: Path) -> bool:
    """Return whether the decoder finds moving pictures in a file, and not only the cover of a piece of music."""
    try:
        with path.open("rb") as file, open_container(file) as opened:
            stream = opened.streams.best("video")
            if not isinstance(stream, av.VideoStream) or stream.disposition & Disposition.attached_pic:
                return False
            return bool(stream.codec_context and stream.width)
    except (av.FFmpegError, OSError, ValueError):
        return False
