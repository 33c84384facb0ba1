"""What a source holds: clips found, clips set aside with the reason, annotations located but never opened.

A source is one video file, a folder of frames, a folder of such folders and videos, or a data set in DAVIS
layout (JPEGImages/480p/<clip>, Annotations/480p/<clip>, ImageSets/<split>.txt). One bad clip never stops
the others.
"""

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Literal

from storage.decoding import FORMATS
from storage.names import natural_key, printable, safe_name, unique_names
from storage.splits import read_split

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".webm", ".mkv", ".m4v"})
_RESOLUTIONS = ("480p", "Full-Resolution", "1080p")
_ANNOTATIONS = ("Annotations", "Annotations_unsupervised")
_ACCEPTED = (
    f"a video file ({' '.join(sorted(VIDEO_SUFFIXES))}), a folder of frames, a folder of clips, "
    "or a data set in DAVIS layout"
)


class ClipError(ValueError):
    """One clip cannot be used; the others can. `reason` names the offending file and says what is wrong."""

    def __init__(self, clip: str, reason: str) -> None:
        super().__init__(clip, reason)  # both, so that the error survives pickling between workers
        self.clip, self.reason = clip, reason

    def __str__(self) -> str:
        return f"{self.clip}: {self.reason}"


@dataclass(frozen=True)
class Clip:
    """One video, unopened. `name` is unique in its source and safe in paths, in JSON and in print."""

    name: str
    path: Path
    kind: Literal["video", "frames"]
    files: tuple[Path, ...]  # the video itself, or the frames in natural order

    def frame_names(self, count: int) -> tuple[str, ...]:
        """Names of the first `count` frames: file names without suffix; 00000, 00001... in a video."""
        if self.kind == "video":
            return tuple(f"{index:05d}" for index in range(count))
        return tuple(safe_name(file.stem) for file in self.files[:count])


@dataclass(frozen=True)
class SetAside:
    """A clip that was named or found but cannot be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class ClipList:
    """What `find_clips` found. `annotations`: where the data set keeps them, or None; never opened here."""

    clips: tuple[Clip, ...]
    set_aside: tuple[SetAside, ...] = ()
    annotations: Path | None = None
    warnings: tuple[str, ...] = ()


def find_clips(source: Path, *, only: Sequence[str] = (), split: str | None = None) -> ClipList:
    """The clips of a source in natural order, restricted to its `split` ("2016/val") and to names in `only`.

    Raises ValueError with the next step where the source itself is of no use: it does not exist, holds
    nothing, the split is unknown, or a name in `only` is.
    """
    source = Path(source)
    try:
        if not source.exists():
            raise ValueError(f"{printable(source)} does not exist; give {_ACCEPTED}")
        named = source.resolve() if source.name in ("", "..") else source.absolute()
        paths, annotations, warnings = _lay_out(named)
        if not paths:
            raise ValueError(f"no clips in {printable(source)}; give {_ACCEPTED}{_hint(source)}")
    except OSError as error:
        reason = f"{printable(source)} cannot be read ({error.strerror}); check its permissions"
        raise ValueError(reason) from error

    clips, set_aside = [], []
    for path, name in zip(paths, _clip_names(paths), strict=True):
        try:
            clips.append(_clip(path, name))
        except ClipError as error:
            set_aside.append(SetAside(error.clip, error.reason))
    found = ClipList(tuple(clips), tuple(set_aside), annotations)
    if split is not None:
        found = _keep_split(found, split, read_split(source, split))
    if only:
        found = _keep_only(found, only, source)
    warnings += [gap for clip in found.clips if (gap := _numbering_gap(clip))]
    return replace(found, warnings=tuple(warnings))


def _lay_out(source: Path) -> tuple[list[Path], Path | None, list[str]]:
    """The paths that are to be clips, the folder of annotations, and warnings."""
    if not source.is_dir():
        if source.suffix.lower() not in VIDEO_SUFFIXES:
            raise ValueError(f"{printable(source)} is not a video that can be read; give {_ACCEPTED}")
        return [source], None, []

    if (source / "JPEGImages").is_dir():
        resolutions = [name for name in _RESOLUTIONS if (source / "JPEGImages" / name).is_dir()]
        sub = Path(*resolutions[:1])
        located = [source / kind / sub for kind in _ANNOTATIONS if (source / kind / sub).is_dir()]
        paths = _candidates(source / "JPEGImages" / sub)
        several = f"{printable(source)} has {' and '.join(resolutions)}; {sub} is used"
        return paths, located[0] if located else None, [several] if resolutions[1:] else []

    paths, pictures = _candidates(source), _pictures(source)
    usable = [path for path in paths if _is_video(path) or _holds_pictures(path)]
    if len(pictures) > 1 or (pictures and not usable):
        inside = [
            f"{printable(source)} is one clip; {printable(path.name)} inside is ignored" for path in usable
        ]
        return [source], None, inside
    return paths if usable else [], None, []


def _candidates(folder: Path) -> list[Path]:
    """What may be a clip: folders, videos, and links to nothing that would have been either."""

    def may_be_clip(path: Path) -> bool:
        lost = path.is_symlink() and not path.exists()
        return path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES or (lost and not path.suffix)

    return [path for path in _visible(folder) if may_be_clip(path)]


def _clip_names(paths: Sequence[Path]) -> list[str]:
    """The name of each: a video loses its suffix unless that would give two clips one name."""
    short = [path.stem if _is_video(path) else path.name for path in paths]
    shared = {name for name, count in Counter(name.casefold() for name in short).items() if count > 1}
    return unique_names(
        path.name if name.casefold() in shared else name for path, name in zip(paths, short, strict=True)
    )


def _clip(path: Path, name: str) -> Clip:
    if not path.exists():
        raise ClipError(name, f"{printable(path.name)} is a link to nothing")
    if _is_video(path):
        return Clip(name, path, "video", (path,))
    try:
        files = _pictures(path)
    except OSError as error:
        raise ClipError(name, f"{printable(path.name)} cannot be read ({error.strerror})") from error
    if not files:
        raise ClipError(name, f"no frames in {printable(path.name)}")
    clip = Clip(name, path, "frames", tuple(files))
    first_with: dict[str, Path] = {}
    for frame, file in zip(clip.frame_names(len(files)), files, strict=True):
        if frame in first_with:
            both = f"{printable(first_with[frame].name)} and {printable(file.name)}"
            raise ClipError(name, f"{both} are one frame's name; keep one of them")
        first_with[frame] = file
    return clip


def _numbering_gap(clip: Clip) -> str | None:
    """A warning where frame numbers jump by more than their usual step; every fifth frame is no gap."""
    numbers = [re.findall("[0-9]+", file.stem)[-1:] for file in clip.files]
    if clip.kind == "video" or not all(numbers):
        return None
    counted = [int(number[0]) for number in numbers]
    steps = [after - before for before, after in pairwise(counted)]
    jumps = [index for index, step in enumerate(steps) if step > min(steps)]
    if not jumps:
        return None
    before, after = (printable(file.name) for file in clip.files[jumps[0] : jumps[0] + 2])
    more = f" ({len(jumps)} such gaps)" if jumps[1:] else ""
    return f"{clip.name}: no frame between {before} and {after}{more}; neighbours in order are used"


def _keep_split(found: ClipList, split: str, names: Sequence[str]) -> ClipList:
    clips: dict[str, Clip] = {}
    set_aside: dict[str, SetAside] = {}
    for name in names:
        matches, already = _matching(found, name)
        clips |= {clip.name: clip for clip in matches}
        set_aside |= {entry.name: entry for entry in already}
        if not matches and not already:
            leaves = Path(name).is_absolute() or ".." in re.split(r"[/\\]", name)
            reason = "leaves the data folder; refused" if leaves else "no such folder beside the other clips"
            set_aside[name] = SetAside(printable(name), f"listed in split {split}: {reason}")
    in_order = tuple(clip for clip in found.clips if clip.name in clips)
    return replace(found, clips=in_order, set_aside=tuple(set_aside.values()))


def _keep_only(found: ClipList, only: Sequence[str], source: Path) -> ClipList:
    clips: set[str] = set()
    set_aside: set[str] = set()
    for name in only:
        matches, already = _matching(found, name)
        if not matches and not already:
            known = [clip.name for clip in found.clips] + [entry.name for entry in found.set_aside]
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            unknown = f"no clip {printable(name)!r} in {printable(source)}"
            raise ValueError(f"{unknown}; did you mean {nearest[0]!r}?")
        clips |= {clip.name for clip in matches}
        set_aside |= {entry.name for entry in already}
    return replace(
        found,
        clips=tuple(clip for clip in found.clips if clip.name in clips),
        set_aside=tuple(entry for entry in found.set_aside if entry.name in set_aside),
    )


def _matching(found: ClipList, name: str) -> tuple[list[Clip], list[SetAside]]:
    """Clips of that name: as the file is called, as the clip is called, or a video's name without suffix."""
    for attribute in ("path.name", "name", "path.stem"):
        if matches := [clip for clip in found.clips if attrgetter(attribute)(clip) == name]:
            return matches, []
    return [], [entry for entry in found.set_aside if entry.name in (name, safe_name(name))]


def _visible(folder: Path) -> list[Path]:
    entries = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name != "__MACOSX"]
    return sorted(entries, key=lambda path: (natural_key(path.stem), path.name))


def _pictures(folder: Path) -> list[Path]:
    """Entries named like pictures, in natural order; whether they are any good is found out by decoding."""
    return [path for path in _visible(folder) if path.suffix.lower() in FORMATS]


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()


def _holds_pictures(path: Path) -> bool:
    try:
        return path.is_dir() and bool(_pictures(path))
    except OSError:
        return True  # unreadable: kept, so that it is set aside with the reason


def _hint(source: Path) -> str:
    """Where the clips probably are, if they lie deeper than looked."""
    for child in filter(Path.is_dir, _visible(source)):
        with suppress(OSError):
            if (child / "JPEGImages").is_dir() or any(map(_holds_pictures, _visible(child))):
                return f". Did you mean {printable(child)}?"
    return ""
