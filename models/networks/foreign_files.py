"""Files that are not what their name says: what was downloaded in place of a checkpoint."""

from pathlib import Path

_PAGES = (b"<!doctype html", b"<html", b"<head", b"<?xml")
_HEAD = 1024  # bytes that are looked at


def foreign(path: Path) -> str | None:
    """Say what a file is instead of a checkpoint, and what to do; None if it may be one.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer and not the file itself: fetch that with 'git lfs pull'"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGES):
        return "is a web page and not the file itself: download that with the button of the page, or with its own link"
    return None


def in_short(error: Exception) -> str:
    """Return the first line of a library's error, without advice to load what may hold code."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return type(error).__name__ if "weights_only" in line else line.partition(". ")[0]
