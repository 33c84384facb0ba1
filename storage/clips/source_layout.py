"""Layout of a source: which of its folders and files may be clips, and where its annotations are.

Only names are examined; whether a clip can be used is found out later.
"""

from contextlib import suppress
from pathlib import Path

from motion_adapt.storage.datasets.catalogue import DataSet
from motion_adapt.storage.datasets.layouts import davis_layout, lay_out
from motion_adapt.storage.formats.images import FORMATS
from motion_adapt.storage.names import natural_key, printable

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".webm", ".mkv", ".m4v"})
ACCEPTED = (
    f"a video file ({' '.join(sorted(VIDEO_SUFFIXES))}), a folder of frames, a folder of clips, "
    "a data set in DAVIS layout, or a benchmark"
)


def lay_out_source(source: Path, known: DataSet | None) -> tuple[list[Path], Path | None, list[str]]:
    """Return the paths that may be clips, the folder of annotations or None, and warnings.

    Raises:
        ValueError: if `source` is a file that is no video, or if `known` keeps its frames elsewhere.
    """
    if not source.is_dir():
        if source.suffix.lower() not in VIDEO_SUFFIXES:
            raise ValueError(f"{printable(source)} is not a video that can be read; give {ACCEPTED}")
        return [source], None, []

    if known is not None or (source / "JPEGImages").is_dir():
        layout = lay_out(source, known) if known else davis_layout(source)
        paths = [path for folder in layout.images for path in candidates(folder)]
        return paths, layout.annotations, list(layout.warnings)

    paths, frames = candidates(source), pictures(source)
    usable = [path for path in paths if is_video(path) or _holds_pictures(path)]
    if len(frames) > 1 or (frames and not usable):
        inside = [
            f"{printable(source)} is one clip; {printable(path.name)} inside is ignored" for path in usable
        ]
        return [source], None, inside
    return paths if usable else [], None, []


def candidates(folder: Path) -> list[Path]:
    """Return the entries that may be clips: folders, videos, and broken links named like either."""

    def may_be_clip(path: Path) -> bool:
        lost = path.is_symlink() and not path.exists()
        return path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES or (lost and not path.suffix)

    return [path for path in _visible(folder) if may_be_clip(path)]


def pictures(folder: Path) -> list[Path]:
    """Return the entries named like pictures, in natural order; only decoding shows whether they are usable."""
    return [path for path in _visible(folder) if path.suffix.lower() in FORMATS]


def is_video(path: Path) -> bool:
    """Return whether the path has a video's suffix and is not a folder."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()


def hint(source: Path) -> str:
    """Suggest a sub-folder in which the clips probably are; an empty string if there is none."""
    for child in filter(Path.is_dir, _visible(source)):
        with suppress(OSError):
            if (child / "JPEGImages").is_dir() or any(map(_holds_pictures, _visible(child))):
                return f". Did you mean {printable(child)}?"
    return ""


def _holds_pictures(path: Path) -> bool:
    try:
        return path.is_dir() and bool(pictures(path))
    except OSError:
        return True  # unreadable: kept here, so that it is set aside with the reason later


def _visible(folder: Path) -> list[Path]:
    entries = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name != "__MACOSX"]
    return sorted(entries, key=lambda path: (natural_key(path.stem), path.name))
