"""Names of files and clips: sorted naturally, and made safe to write and to print.

A file name may contain anything but "/" and NUL: bytes that are not UTF-8 (surrogates in Python), line breaks,
right-to-left overrides. Clips and frames are named by the result of `safe_name`, which can be used unchanged as a path
component, as a key in JSON, in a terminal and in a table.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence

MAX_BYTES = 200  # of the 255 that file systems allow, so that suffixes can be added
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, invisible formatting, surrogates, line breaks


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Return a sort key that orders numbers by value: frame_9 before frame_10. Different names never compare equal."""
    parts: list[str | int] = list(re.split(r"([0-9]+)", name.casefold()))
    parts[1::2] = [int(digits) for digits in parts[1::2]]
    return parts, name


def printable(name: str | os.PathLike[str]) -> str:
    """Return the name with every character that could break a line, a terminal or UTF-8 written as %XX."""
    text = os.fspath(name)
    return "".join(_escaped(sign) if unicodedata.category(sign) in _UNPRINTABLE else sign for sign in text)


def safe_name(name: str) -> str:
    """Return `name` as one path component for outputs: safe names unchanged, others escaped or shortened.

    The result contains no separator, is neither hidden nor "..", prints as UTF-8 and has 1 to 200 bytes. A shortened
    name ends in a digest of the whole name, so that different long names stay different.
    """
    name = re.sub(r'[/\\:*?"<>|]', lambda sign: _escaped(sign[0]), printable(name))
    name = re.sub(r"^[. ]|[. ]$", lambda sign: _escaped(sign[0]), name) or "unnamed"
    encoded = name.encode()
    if len(encoded) <= MAX_BYTES:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:12]
    return encoded[: MAX_BYTES - len(digest) - 1].decode(errors="ignore") + "-" + digest


def mark(name: str) -> str:
    """Return eight digits that tell a name apart from others that become alike when they are made plain."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def unique_names(names: Iterable[str]) -> list[str]:
    """Return the names made safe; numbered (-2, -3...) if two would be the same file on a common file system."""
    taken: set[str] = set()
    unique = []
    for wanted in map(safe_name, names):
        name, number = wanted, 1
        while _folded(name) in taken:
            number += 1
            name = safe_name(f"{wanted}-{number}")
        taken.add(_folded(name))
        unique.append(name)
    return unique


def shot_name(video: str, number: int) -> str:
    """Return the name of a video's shot, counted from 1: `video#01`."""
    return f"{video}#{number:02d}"


def whole_name(name: str) -> str:
    """Return the name of the video that a shot's name is of; other names unchanged."""
    return re.sub(r"#[0-9]{2,}$", "", name)


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun: `1 clip`, `2 clips`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def some(names: Sequence[str], most: int = 3) -> str:
    """Format the first names for a message, and how many more there are: `a, b, c and 4 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _escaped(sign: str) -> str:
    raw_byte = "\udc80" <= sign <= "\udcff"  # how Python represents a byte of a file name that is not UTF-8
    encoded = sign.encode(errors="surrogateescape" if raw_byte else "surrogatepass")
    return "".join(f"%{byte:02X}" for byte in encoded)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def frame_number(name: str) -> int | None:
    """Return the last number in a frame's name, or None."""
    digits = re.findall("[0-9]+", name)
    return int(digits[-1]) if digits else None
