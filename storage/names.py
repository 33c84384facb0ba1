"""Names of files and clips: put in order, made safe to write, safe to print.

A file name on disk may hold anything but "/" and NUL: bytes that are not UTF-8 (surrogates in Python), line
breaks, right-to-left overrides. A clip or frame is called by what `safe_name` makes of it, so that it can be
one path component, a key in JSON, a line in a terminal and a cell of a table, unchanged everywhere.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable

MAX_BYTES = 200  # of the 255 that file systems allow, so that suffixes can be added
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, invisible formatting, surrogates, line breaks


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key that counts: frame_9 before frame_10. Different names never compare equal."""
    parts: list[str | int] = list(re.split(r"([0-9]+)", name.casefold()))
    parts[1::2] = [int(digits) for digits in parts[1::2]]
    return parts, name


def printable(name: str | os.PathLike[str]) -> str:
    """The name with every sign that could break a line, a terminal or UTF-8 written as %XX."""
    text = os.fspath(name)
    return "".join(_escaped(sign) if unicodedata.category(sign) in _UNPRINTABLE else sign for sign in text)


def safe_name(name: str) -> str:
    """One path component for outputs made from `name`: sane names are unchanged, others are escaped or cut.

    The result holds no separator, is neither hidden nor "..", prints as UTF-8 and has 1 to 200 bytes; a name
    that is cut ends in a digest of the whole, so that long names stay different. Safe names are left alone.
    """
    name = re.sub(r'[/\\:*?"<>|]', lambda sign: _escaped(sign[0]), printable(name))
    name = re.sub(r"^[. ]|[. ]$", lambda sign: _escaped(sign[0]), name) or "unnamed"
    encoded = name.encode()
    if len(encoded) <= MAX_BYTES:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:12]
    return encoded[: MAX_BYTES - len(digest) - 1].decode(errors="ignore") + "-" + digest


def unique_names(names: Iterable[str]) -> list[str]:
    """The names made safe; where two would be one file on some common file system, numbered (-2, -3...)."""
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


def _escaped(sign: str) -> str:
    raw_byte = "\udc80" <= sign <= "\udcff"  # how Python writes a byte of a file name that is not UTF-8
    encoded = sign.encode(errors="surrogateescape" if raw_byte else "surrogatepass")
    return "".join(f"%{byte:02X}" for byte in encoded)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def frame_number(name: str) -> int | None:
    """The last number in a frame's name."""
    digits = re.findall("[0-9]+", name)
    return int(digits[-1]) if digits else None
