"""Results as files: indexed PNGs in DAVIS layout, overlay video and stage strip, per clip.

    <folder>/masks/<clip>/<frame>.png
    <folder>/overlays/<clip>.mp4
    <folder>/strips/<clip>.png
    <folder>/doubtful/<clip>/       pictures of frames to look at, see `storage.results.doubtful`

A stamp per clip records which clip the files belong to and which artifacts they show. An up-to-date export is not
written again, and results of another clip of the same name are never replaced (`ResultsTaken`). Earlier results of a
clip whose content has changed, or that the latest run could not process, are moved to <folder>/earlier/, and from the
second time on to <folder>/earlier/2/ and so on. Nothing there is ever replaced.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.atomic import whole_file
from motion_adapt.storage.formats.masks import write_masks
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.locks import alone
from motion_adapt.storage.names import printable, safe_name
from motion_adapt.storage.results.doubtful import PICTURES

STAMPS, EARLIER = ".exported", "earlier"
PATIENCE = 600.0  # seconds to wait for another process that exports the same clip


@dataclass(frozen=True)
class Origin:
    """The clip to which results belong."""

    content: str  # digest of its files' bytes
    path: str  # its absolute path

    def is_of(self, other: "Origin") -> bool:
        """Return whether both are the same clip, which is so if they have the same content or the same path."""
        return self.content == other.content or self.path == other.path


class ResultsTaken(ValueError):
    """The folder for results already has the results of another clip of the same name."""

    def __init__(self, folder: Path, name: str, owner: str) -> None:
        super().__init__(folder, name, owner)
        self.folder, self.name, self.owner = folder, name, owner

    def __str__(self) -> str:
        return (
            f"{printable(self.folder)} has the results of another clip named {self.name} ({printable(self.owner)}); "
            "name another folder with --output"
        )


@dataclass(frozen=True)
class Exported:
    """Result of `export_clip`.

    Attributes:
        strip: the stage strip; None without pictures.
        moved: the folder to which earlier results of other content were moved, or None.
    """

    strip: Path | None
    moved: Path | None = None


def require_free(folder: Path, name: str, origin: Origin) -> None:
    """Check that `folder` has no results of another clip under this name.

    Raises:
        ResultsTaken: if it has.
    """
    owner = _owner(folder, name)
    if owner and not owner.is_of(origin) and any(path.exists() for path in _parts(folder, name)):
        raise ResultsTaken(folder, name, owner.path)


def has_results(folder: Path, name: str) -> bool:
    """Return whether `folder` has anything under a clip's name."""
    return safe_name(name) == name and any(path.exists() for path in _parts(folder, name))


def export_clip(
    store: ArtifactStore,
    final: Artifact,
    pictures: Artifact | None,
    folder: Path,
    name: str,
    frame_names: Sequence[str],
    origin: Origin,
    *,
    filled: Artifact | None = None,
) -> Exported:
    """Write a clip's masks (`labels` of `final`) and its pictures, if there are any.

    With `filled`, masks and video are those of `filled`, which has more frames; `frame_names` then names all of these.

    Earlier results of the same content are replaced. Those of other content, or of an unknown clip, are moved to
    <folder>/earlier/.

    Raises:
        ResultsTaken: if the folder has the results of another clip of this name.
        OSError: if the folder cannot be written, or another process holds the clip for longer than `PATIENCE`.
    """
    overlay, strip = _overlay(folder, name), _strip(folder, name)
    stamp = _stamp(folder, name)
    shows = [final.digest, pictures and pictures.digest, list(frame_names)]
    shows += [filled.digest] if filled else []
    sources = {overlay: (filled or pictures, "overlay.mp4"), strip: (pictures, "strip.png")}
    drawn = [path for path, (source, _) in sources.items() if source]
    masks = [_masks(folder, name) / f"{frame}.png" for frame in frame_names]
    with claimed(folder, name, origin) as moved:
        if _read(stamp).get("shows") == shows and all(path.is_file() for path in (*drawn, *masks)):
            if _owner(folder, name) != origin:  # the clip has been moved
                _sign(stamp, origin, shows)
            return Exported(strip if pictures else None)
        sign_incomplete(folder, name, origin)
        write_masks(folder / "masks", name, frame_names, _labels(store, filled or final))
        for path, (source, entry) in sources.items():
            if source is None:
                path.unlink(missing_ok=True)  # it shows other masks
                continue
            with whole_file(path) as partial:
                partial.write_bytes(store.open(source).read(entry))
        _sign(stamp, origin, shows)
        return Exported(strip if pictures else None, moved)


@contextmanager
def claimed(folder: Path, name: str, origin: Origin) -> Iterator[Path | None]:
    """Hold the place of a clip's results against other processes.

    Earlier results of other content, or of an unknown clip, are moved as by `retire_clip`. Yields the folder that they
    were moved to, or None if nothing was moved.

    Raises:
        ResultsTaken: if the folder has the results of another clip of this name.
        TimeoutError: if another process holds the clip for longer than `PATIENCE`.
    """
    with _held(folder, name):
        require_free(folder, name, origin)
        owner = _owner(folder, name)
        other = owner is None or owner.content != origin.content
        yield _move_away(folder, name) if other else None


def sign_incomplete(folder: Path, name: str, origin: Origin) -> None:
    """Record whose results are about to be written, before they are: no kill leaves them under another stamp."""
    _sign(_stamp(folder, name), origin, None)


def retire_clip(folder: Path, name: str, path: Path | None) -> Path | None:
    """Move a clip's earlier results to <folder>/earlier/, or to a numbered folder in it if some are already there.

    Returns the folder that they were moved to, or None if there were no results.

    `path` is the clip's, or None if it is unknown. If the process is killed, the next call moves the rest. The stamp is
    deleted first, so results that are only partly moved never count as an up-to-date export.

    Raises:
        ResultsTaken: if the results are those of a clip at another path. They are not moved.
        TimeoutError: if another process holds the clip for longer than `PATIENCE`.
    """
    if safe_name(name) != name:
        return None  # results are only ever written under safe names
    if path:
        require_free(folder, name, Origin("", str(path)))
    with _held(folder, name):
        return _move_away(folder, name)


@contextmanager
def _held(folder: Path, name: str) -> Iterator[None]:
    """Lock a clip's results, or raise TimeoutError."""
    with alone(folder / STAMPS / f".{name}.lock", patience=PATIENCE) as held:
        if not held:
            raise TimeoutError(
                f"{name}: another process has been writing its results for {PATIENCE:.0f} seconds"
            )
        yield


def _move_away(folder: Path, name: str) -> Path | None:
    _stamp(folder, name).unlink(missing_ok=True)
    parts = [path.relative_to(folder) for path in _parts(folder, name) if path.exists()]
    if not parts:
        return None
    away, number = folder / EARLIER, 1
    while any((away / part).exists() for part in parts):
        number += 1
        away = folder / EARLIER / str(number)
    for part in parts:
        (away / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).replace(away / part)
    return away


def _parts(folder: Path, name: str) -> tuple[Path, ...]:
    """Return the paths of all that a clip has in a folder of results."""
    return _masks(folder, name), _overlay(folder, name), _strip(folder, name), folder / PICTURES / name


def _masks(folder: Path, name: str) -> Path:
    return folder / "masks" / name


def _overlay(folder: Path, name: str) -> Path:
    return folder / "overlays" / f"{name}.mp4"


def _strip(folder: Path, name: str) -> Path:
    return folder / "strips" / f"{name}.png"


def _stamp(folder: Path, name: str) -> Path:
    return folder / STAMPS / f"{name}.json"


def _sign(stamp: Path, origin: Origin, shows: list[Any] | None) -> None:
    """Write a stamp: the clip, and the artifacts that its results show, or None while they are incomplete."""
    with whole_file(stamp) as partial:
        told = {"content": origin.content, "path": origin.path, "shows": shows}
        partial.write_text(json.dumps(told), encoding="utf-8")


def _owner(folder: Path, name: str) -> Origin | None:
    """Return the clip to which the results under a name belong; None if there is no stamp."""
    told = _read(_stamp(folder, name))
    return Origin(told["content"], told["path"]) if told else None


def _read(stamp: Path) -> dict[str, Any]:
    """Read a stamp; empty if there is none, or if it names no clip."""
    try:
        told = json.loads(stamp.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return told if isinstance(told, dict) and {"content", "path"} <= set(told) else {}


def _labels(store: ArtifactStore, final: Artifact) -> Iterator[np.ndarray]:
    for _, block in store.open(final).array("labels").blocks():
        yield from block
