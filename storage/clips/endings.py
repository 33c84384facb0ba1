"""Whether a video file is complete, as far as the end of the file shows it.

FFmpeg reads these formats up to wherever the file ends and reports no error. A transport stream that is cut between
two packets, and a raw stream that is cut between two frames, cannot be told from a complete file.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

CUT = "is probably cut short: "
BEHIND = "its last part ends behind the end of the file"
_TAIL = 2**17  # bytes, more than any page of Ogg has
_SYNC = 0x47  # first byte of a packet of a transport stream
_PACKETS = ((188, 0), (192, 4), (204, 0))  # bytes of such a packet, and of what precedes the first byte


def missing_end(path: Path, form: str, packet: int = 0) -> str | None:
    """Return what is missing at the end of a file, else None.

    Args:
        path: the video.
        form: FFmpeg's name of its container.
        packet: bytes of its first video packet.

    Raises:
        OSError: if the file cannot be read.
    """
    looks: dict[str, Callable[[BinaryIO, int, int], str | None]] = {
        "gif": _gif, "ogg": _ogg, "mpegts": _transport_stream, "yuv4mpegpipe": _y4m, "dv": _dv, "swf": _flash,
        "flv": _flv, "mov,mp4,m4a,3gp,3g2,mj2": _mp4, "matroska,webm": _matroska,
    }  # fmt: skip
    look = looks.get(form)
    if look is None:
        return None
    with path.open("rb") as file:
        missing = look(file, file.seek(0, os.SEEK_END), packet)
    return f"{CUT}{missing}" if missing else None


def _read(file: BinaryIO, start: int, count: int) -> bytes:
    file.seek(max(0, start))
    return file.read(count)


def _gif(file: BinaryIO, size: int, packet: int) -> str | None:
    ended = _read(file, size - 64, 64).rstrip(b"\0\r\n").endswith(b";")
    return None if ended else "the mark that ends a GIF is missing"


def _ogg(file: BinaryIO, size: int, packet: int) -> str | None:
    tail = _read(file, size - _TAIL, _TAIL)
    page = tail[tail.rfind(b"OggS") :]
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b""
    if len(page) < 27 or len(page) < 27 + page[26] + sum(segments):
        return "it ends within a page"
    return None if page[5] & 4 else "no page is marked as the last one"


def _transport_stream(file: BinaryIO, size: int, packet: int) -> str | None:
    head = _read(file, 0, 4096)
    for length, before in _PACKETS:
        for first in range(before, min(length + before, len(head))):
            if len(head) > first + length and all(byte == _SYNC for byte in head[first::length]):
                left = (size - (first - before)) % length
                return "it ends within a packet" if left else None
    return None  # FFmpeg searches further


def _y4m(file: BinaryIO, size: int, packet: int) -> str | None:
    head = _read(file, 0, 4096)
    start = head.find(b"\n") + 1
    if not head[start:].startswith(b"FRAME\n"):  # frames with parameters of their own
        return None
    return "it ends within a frame" if (size - start) % (len(b"FRAME\n") + packet) else None


def _dv(file: BinaryIO, size: int, packet: int) -> str | None:
    return "it ends within a frame" if packet and size % packet else None


def _flash(file: BinaryIO, size: int, packet: int) -> str | None:
    head = _read(file, 0, 8)
    stated = int.from_bytes(head[4:8], "little") if head.startswith(b"FWS") else 0
    return f"it states {stated} bytes and has {size}" if stated > size else None


def _flv(file: BinaryIO, size: int, packet: int) -> str | None:
    """Compare the last tag with its length, which follows it."""
    length = int.from_bytes(_read(file, size - 4, 4), "big")
    stated = int.from_bytes(_read(file, size - 4 - length, 4)[1:], "big")
    return None if 11 <= length < size and stated == length - 11 else "it ends within a tag"


def _mp4(file: BinaryIO, size: int, packet: int) -> str | None:
    """Follow the boxes of which an MP4 file consists; a recording in fragments states no number of frames."""
    at = 0
    while 0 <= at < size:
        head = _read(file, at, 16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0: up to the end of the file; else no box
            return None
        at += length
    return BEHIND if at > size else None


def _matroska(file: BinaryIO, size: int, packet: int) -> str | None:
    """Read the lengths of the header and of the segment after it, unless a recording left the latter open."""
    head, at = _read(file, 0, 4096), 0
    for _ in ("header", "segment"):
        if len(head) < at + 12:
            return None
        width = 9 - head[at + 4].bit_length()  # bytes of the length; the first bit that is set counts them
        stated = int.from_bytes(head[at + 4 : at + 4 + width], "big") & ((1 << 7 * width) - 1)
        if stated == (1 << 7 * width) - 1:  # not known
            return None
        at += 4 + width + stated
    return BEHIND if at > size else None
