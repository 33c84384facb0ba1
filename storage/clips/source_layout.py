"""Find the clips of a source: the folders and files that may be clips, and the folder of annotations.

Folders of frames count if they are directly in the source; videos count at any depth, as in a folder of day folders.
What is not taken is named with the reason. Whether a clip is usable is found out later.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from motion_adapt.storage.clips.media import VIDEO_SUFFIXES, is_video, kind_of
from motion_adapt.storage.datasets.catalogue import DataSet
from motion_adapt.storage.datasets.layouts import RESOLUTIONS, davis_layout, lay_out
from motion_adapt.storage.formats.images import FORMATS
from motion_adapt.storage.names import natural_key, printable

ACCEPTED = (
    "a video file (mp4, mov, avi, mkv, webm, mts, mpg, wmv, gif and whatever else the decoder opens), a folder of "
    "frames, a folder of clips, a data set in DAVIS layout, or a benchmark"
)
LITTER = {"__MACOSX", "Thumbs.db", "desktop.ini"}  # of operating systems; like hidden files, never named
NO_MEDIUM = "is neither a video nor a picture that can be read"
SINGLE = "is a single picture next to clips"
DEEPEST = 8  # folders below the source that are looked into
# what else a data set, also one of `synthesise`, keeps next to its frames, by first letters
_PARTS = ("Annotations", "ImageSets", "GroundTruth", "Flows_gap", "synthetic.json")
_OWN = (".exported", "_runs")  # entries of a results folder and of a store


@dataclass
class Layout:
    """The possible clips of a source, and the entries that are not taken.

    Attributes:
        paths: videos and folders of frames.
        annotations: the folder of annotations, or None.
        warnings: what a reader should know.
        chosen: warnings that name the folder that is used of several with the same clips.
        skipped: by path: why it is not taken.
    """

    paths: list[Path] = field(default_factory=list)
    annotations: Path | None = None
    warnings: list[str] = field(default_factory=list)
    chosen: list[str] = field(default_factory=list)
    skipped: dict[Path, str] = field(default_factory=dict)


def lay_out_source(source: Path, known: DataSet | None) -> Layout:
    """Find what may be a clip.

    Raises:
        ValueError: if `source` is a file that is no video, or if `known` keeps its frames elsewhere.
    """
    if not source.is_dir():
        if not is_video(source):
            what = "one picture, and not a video" if kind_of(source) else "not a video that can be read"
            raise ValueError(f"{printable(source)} is {what}; give {ACCEPTED}")
        return Layout([source])

    if known is not None or (source / "JPEGImages").is_dir():
        there = lay_out(source, known) if known else davis_layout(source)
        found = Layout(annotations=there.annotations, chosen=list(there.chosen))
        for folder in there.images:
            found.paths += candidates(folder)
            if known is None:
                _skip_rest(folder, found)
                found.skipped |= dict.fromkeys(pictures(folder), SINGLE)
        _skip_beside(source, there.images, found, known)
        return found

    frames, found = pictures(source), _look_into(source)
    usable = [path for path in found.paths if is_video(path) or _holds_pictures(path)]
    if len(frames) > 1 or (frames and not usable):
        inside = [path.relative_to(source) for path in usable]
        warnings = [
            f"{printable(source)} is one clip; {printable(path)} inside is ignored" for path in inside
        ]
        return Layout([source], warnings=warnings, skipped=not_frames(source))
    found.skipped |= dict.fromkeys(frames, SINGLE)
    found.paths = found.paths if usable else []
    return found


def candidates(folder: Path) -> list[Path]:
    """Return the entries that may be clips: folders, videos, and broken links named like either."""

    def may_be_clip(path: Path) -> bool:
        lost = path.is_symlink() and not path.exists()
        named = not path.suffix or path.suffix.lower() in VIDEO_SUFFIXES
        return path.is_dir() or is_video(path) or (lost and named)

    return [path for path in _visible(folder) if may_be_clip(path)]


def pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder in natural order; only decoding shows whether they are usable."""
    return [path for path in _visible(folder) if kind_of(path) == "picture" or _named_picture(path)]


def not_frames(folder: Path) -> dict[Path, str]:
    """Return the other entries of a folder of frames, each with the reason why it is not taken."""
    frames = set(pictures(folder))
    return {
        path: "is inside a clip" if path.is_dir() or is_video(path) else NO_MEDIUM
        for path in _visible(folder)
        if path not in frames
    }


def nearby(folder: Path) -> list[Path]:
    """Return the folders one and two levels above and one level below a folder: one of them may be the one meant."""
    folder = folder.absolute()
    inside: list[Path] = []
    with suppress(OSError):  # it may not exist, or not be readable
        inside += filter(Path.is_dir, _visible(folder))
    return [folder.parent, folder.parent.parent, *inside]


def hint(source: Path) -> str:
    """Suggest a sub-folder in which the clips probably are; an empty string if there is none."""
    for child in filter(Path.is_dir, _visible(source)):
        with suppress(OSError):
            if (child / "JPEGImages").is_dir() or any(map(_holds_pictures, _visible(child))):
                return f". Did you mean {printable(child)}?"
    return ""


def _look_into(source: Path) -> Layout:
    """Find the videos at any depth, and the folders of frames directly in the source."""
    found = Layout()
    seen = {source.resolve()}

    def look(folder: Path, depth: int) -> None:
        for path in candidates(folder):
            if not path.is_dir():
                found.paths.append(path)
            elif any((path / name).is_dir() for name in _OWN):
                found.skipped[path] = "holds results or a store of earlier runs"
            elif _is_frames(path) and depth == 0:
                found.paths.append(path)
            elif _is_frames(path):
                found.skipped[path] = (
                    f"is a folder of frames further down; give {printable(folder)} as the source"
                )
            elif path.resolve() in seen or depth == DEEPEST:
                found.paths += [path] if depth == 0 else []
            else:
                seen.add(path.resolve())
                before = len(found.paths), len(found.skipped)
                look(path, depth + 1)
                if before == (len(found.paths), len(found.skipped)) and depth == 0:
                    found.paths.append(path)  # set aside later: it has no frames
        _skip_rest(folder, found)
        if depth:
            found.skipped |= dict.fromkeys(pictures(folder), SINGLE)

    look(source, 0)
    return found


def _skip_rest(folder: Path, found: Layout) -> None:
    """Name the files of a folder that are no clips and no pictures."""
    taken = {*candidates(folder), *pictures(folder)}
    found.skipped |= {path: NO_MEDIUM for path in _visible(folder) if path not in taken}


def _skip_beside(source: Path, images: Sequence[Path], found: Layout, known: DataSet | None) -> None:
    """Name what is next to the folders of a data set's clips; of a benchmark's download, only what could be a clip."""
    above = {folder for path in images for folder in (path, *path.parents)}
    where = " and ".join(str(path.relative_to(source)) for path in images)
    for folder in sorted({path.parent for path in images} | {source}):
        if folder in images or not folder.is_relative_to(source):  # its entries are the clips
            continue
        for path in _visible(folder):
            if path in above or path.name in RESOLUTIONS or path.name.startswith(_PARTS):
                continue
            if is_video(path) or _holds_pictures(path):
                found.skipped[path] = f"is not in {where}, where the clips are"
            elif known is None:
                found.skipped[path] = (
                    f"is not in {where}, where the clips are" if path.is_dir() else NO_MEDIUM
                )


def _holds_pictures(path: Path) -> bool:
    try:
        return path.is_dir() and bool(pictures(path))
    except OSError:
        return True  # unreadable: kept here, so that it is set aside with the reason later


def _is_frames(folder: Path) -> bool:
    """Return whether a folder is one clip: it holds pictures, and more than one if it holds videos too."""
    try:
        frames = pictures(folder)
        return len(frames) > 1 or (bool(frames) and not any(map(is_video, candidates(folder))))
    except OSError:
        return True  # as above


def _named_picture(path: Path) -> bool:
    """Return whether a folder or a broken link is named like a picture: a damaged frame, which must not be ignored.

    A folder of pictures is none: it may hold the masks of a clip whose name ends like a picture's.
    """
    if path.suffix.lower() not in FORMATS or (path.exists() and not path.is_dir()):
        return False
    try:
        return not any(kind_of(inside) == "picture" for inside in _visible(path))
    except OSError:
        return True  # a broken link, or unreadable


def _visible(folder: Path) -> list[Path]:
    entries = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in LITTER]
    return sorted(entries, key=lambda path: (natural_key(path.stem), path.name))
