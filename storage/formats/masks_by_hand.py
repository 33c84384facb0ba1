"""Masks by hand for a few frames: <folder>/<clip>/<frame>.png, in the form in which results are exported."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from motion_adapt.storage.keys import digest, file_digest
from motion_adapt.storage.names import natural_key, printable, some, whole_name


def given_clips(folder: Path, known: Iterable[str]) -> dict[str, Path]:
    """Return the folders of masks in `folder` by the name of their clip.

    Raises:
        ValueError: if something else than a folder of a clip in `known` is there; names it.
    """
    names, found = list(known), {}
    for path in _entries(folder):
        if not path.is_dir():
            raise ValueError(f"{printable(path)} is no folder: wanted {printable(folder)}/<clip>/<frame>.png")
        if path.name not in names and whole_name(path.name) not in names:
            raise ValueError(f"{printable(path)} is of no clip of the source{_nearest(path.name, names)}")
        found[path.name] = path
    return found


def given_frames(folder: Path, frame_names: Sequence[str]) -> dict[int, Path]:
    """Return the masks in a clip's folder by the index of their frame, in order.

    Raises:
        ValueError: if a file is no PNG or belongs to no frame; names it.
    """
    index_of, found = {name: index for index, name in enumerate(frame_names)}, {}
    for path in _entries(folder):
        if path.suffix.lower() != ".png":
            raise ValueError(f"{printable(path)} is no PNG; save masks as <frame>.png, indexed")
        if path.stem not in index_of:
            there = f"{frame_names[0]} to {frame_names[-1]}"
            raise ValueError(f"{printable(path)} is of no frame that this run takes of the clip: {there}")
        found[index_of[path.stem]] = path
    return dict(sorted(found.items()))


def given_content(masks: Mapping[int, Path]) -> str:
    """Return a digest of the masks' bytes and the indices of their frames. Names do not affect it."""
    return digest([[index, file_digest(path)] for index, path in sorted(masks.items())])


def named_content(folder: Path) -> dict[str, str]:
    """Return the digests of the bytes of a clip's masks by the names of their files."""
    return {path.name: file_digest(path) for path in _entries(folder)}


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder in natural order, without hidden files, which many programs leave behind."""
    found = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(found, key=lambda path: natural_key(path.name))


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f", which has {some(names)}"
