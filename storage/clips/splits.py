"""The split files of a DAVIS data set: ImageSets/<split>.txt, one clip name per line."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from motion_adapt.storage.names import natural_key, printable


def read_split(source: Path, split: str, official: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """Return the clip names that a split lists, in order and without duplicates, comments and blank lines.

    A line of image pairs ("/JPEGImages/480p/dog/00000.jpg /Annotations/...") names the clip of its first image.

    Args:
        source: the data set's folder.
        split: path below ImageSets, with or without ".txt", such as "2016/val".
        official: clip names by split, used if the source has no file for it.

    Raises:
        ValueError: if there is no such split (the message lists those there are), or its file cannot be read or names
            no clip.
    """
    folder = source / "ImageSets"
    known = {
        file.relative_to(folder).with_suffix("").as_posix(): file
        for file in folder.rglob("*.txt")
        if not file.name.startswith(".")
    }
    name = split.removesuffix(".txt").strip("/")
    if name not in known and name in (official or {}):
        return list((official or {})[name])
    if name not in known:
        there = ", ".join(map(printable, sorted({*known, *(official or {})}, key=natural_key))) or "none"
        raise ValueError(f"no split {printable(split)!r} in {printable(folder)}; there are: {there}")
    try:
        # File names need not be UTF-8; read this way, names that are not still match their folders.
        text = known[name].read_text("utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise ValueError(f"{printable(known[name])} cannot be read ({error.strerror})") from error
    lines = (line.strip() for line in text.splitlines())
    names = list(dict.fromkeys(_clip_of(line) for line in lines if line and not line.startswith("#")))
    if not names:
        raise ValueError(f"{printable(known[name])} names no clip; write one name per line")
    return names


def _clip_of(line: str) -> str:
    if line.startswith("/JPEGImages/"):
        return line.split()[0].split("/")[-2]
    return line
