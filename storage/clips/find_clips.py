"""Find the clips of a source; set unusable ones aside with the reason; locate annotations without opening them.

A source is one video file, a folder of frames, a folder of such folders and videos, a data set in DAVIS
layout (JPEGImages/480p/<clip>, Annotations/480p/<clip>, ImageSets/<split>.txt), or one of the benchmarks of
`storage.datasets` as it was downloaded. One bad clip never stops the others.
"""

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Literal

from motion_adapt.storage.clips.media import is_video
from motion_adapt.storage.clips.numbering import numbering_gaps
from motion_adapt.storage.clips.source_layout import ACCEPTED, hint, lay_out_source, not_frames, pictures
from motion_adapt.storage.clips.splits import read_split
from motion_adapt.storage.datasets.catalogue import DataSet, data_set
from motion_adapt.storage.datasets.layouts import detect
from motion_adapt.storage.names import printable, safe_name, unique_names

NAMED = 3  # entries that are not taken which an error names; it counts the others
OWN = "none"  # the name that says that a source is no benchmark
ALL = (0, None, 1)  # of a video's frames: from the first to the last, each


class ClipError(ValueError):
    """One clip cannot be used. `reason` names the invalid file and what is wrong with it."""

    def __init__(self, clip: str, reason: str) -> None:
        super().__init__(clip, reason)  # both, so that the error survives pickling between workers
        self.clip, self.reason = clip, reason

    def __str__(self) -> str:
        return f"{self.clip}: {self.reason}"


class TooFewFrames(ClipError):
    """A clip has no second frame, so that nothing in it can move."""


@dataclass(frozen=True)
class Clip:
    """One video, not yet opened. `name` is unique in its source and safe in paths, in JSON and in print."""

    name: str
    path: Path
    kind: Literal["video", "frames"]
    files: tuple[Path, ...]  # the video itself, or the frames in natural order
    taken: tuple[int, int | None, int] = ALL  # start, stop and step of the video's frames that are the clip's

    def frame_names(self, count: int) -> tuple[str, ...]:
        """Return the names of the first `count` frames: file names without suffix, or numbers in the video: 00000..."""
        if self.kind == "video":
            start, _, step = self.taken
            return tuple(f"{start + step * index:05d}" for index in range(count))
        return tuple(safe_name(file.stem) for file in self.files[:count])

    def part(self, start: int = 0, stop: int | None = None, step: int = 1) -> "Clip":
        """Return the clip of every `step`-th frame from `start` to before `stop`, counted in this clip's frames.

        Frames keep their names.
        """
        if self.kind == "frames":
            return replace(self, files=self.files[start:stop:step])
        first, end, stride = self.taken
        last = end if stop is None else first + stride * stop
        last = last if end is None or last is None else min(last, end)
        return replace(self, taken=(first + stride * start, last, stride * step))


@dataclass(frozen=True)
class SetAside:
    """A clip that was named or found but cannot be used, and the reason."""

    name: str
    reason: str
    path: Path | None = None  # where it is, or would be
    missing: bool = False  # a list names the clip, and the source does not have it


@dataclass(frozen=True)
class ClipList:
    """Result of `find_clips`.

    Attributes:
        clips: the clips.
        set_aside: clips that cannot be used.
        annotations: where the data set keeps them, or None; never opened here.
        warnings: what a reader should know.
        chosen: those of the warnings that name the folder that is used of several with the same clips.
        data_set: the benchmark that the clips belong to, or None.
        skipped: by path relative to the source: why it is not taken.
    """

    clips: tuple[Clip, ...]
    set_aside: tuple[SetAside, ...] = ()
    annotations: Path | None = None
    warnings: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    data_set: DataSet | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)


def benchmark(source: Path, name: str | None = None) -> DataSet | None:
    """Return the benchmark called `name`; without a name, the one that `source` looks like.

    Returns None for clips that belong to no benchmark, and if `name` is `OWN`.

    Raises:
        ValueError: if no benchmark has that name.
    """
    if name == OWN:
        return None
    return data_set(name) if name else detect(Path(source))


def find_clips(
    source: Path, *, only: Sequence[str] = (), split: str | None = None, dataset: str | None = None
) -> ClipList:
    """Return the clips of a source in natural order.

    Args:
        source: file or folder; see the module docstring.
        only: names of the clips to keep; empty keeps all.
        split: the split whose clips to keep, such as "2016/val"; "all" keeps every clip of a benchmark.
        dataset: the benchmark's name, as in `benchmark`. If given, and neither `split` nor `only` is, the clips that
            the benchmark's figures are averaged over are kept.

    Raises:
        ValueError: if the source does not exist, cannot be read or has no clips, or if the split or a name in `only`
            is unknown, or one of them names no clip. The message says what to do next.
    """
    source = Path(source)
    try:
        if not source.exists():
            raise ValueError(f"{printable(source)} does not exist; give {ACCEPTED}")
        named = source.resolve() if source.name in ("", "..") else source.absolute()
        known = benchmark(named, dataset)
        layout = lay_out_source(named, known)
        if not layout.paths:
            told = not_taken(named, layout.skipped)
            raise ValueError(f"no clips in {printable(source)}{told}; give {ACCEPTED}{hint(source)}")
    except OSError as error:
        reason = f"{printable(source)} cannot be read ({error.strerror}); check its permissions"
        raise ValueError(reason) from error

    clips, set_aside, warnings = [], [], layout.chosen + layout.warnings
    root = named if known is None and not (named / "JPEGImages").is_dir() else None
    for path, name in zip(layout.paths, _clip_names(layout.paths, root), strict=True):
        try:
            clips.append(_clip(path, name))
            if clips[-1].kind == "frames" and path != named and known is None:
                layout.skipped |= not_frames(path)
        except ClipError as error:
            set_aside.append(SetAside(error.clip, error.reason, path))
    skipped = {_relative(path, named): reason for path, reason in layout.skipped.items()}
    found = ClipList(
        clips=tuple(clips),
        set_aside=tuple(set_aside),
        annotations=layout.annotations,
        chosen=tuple(layout.chosen),
        data_set=known,
        skipped=skipped,
    )
    if split is not None and (known is None or split != "all"):
        found = _keep_split(found, split, read_split(source, split, known.splits if known else None))
    elif split is None and not only and known is not None and dataset:
        found, missing = _keep_evaluated(found, known, source)
        warnings += missing
    if only:
        found = _keep_only(found, only, source)
    warnings += [gap for clip in found.clips if (gap := _numbering_gap(clip))]
    return replace(found, warnings=tuple(warnings))


def not_taken(source: Path, skipped: Mapping[Path, str]) -> str:
    """Name a few entries of a source that are not taken, in brackets; an empty string if there are none."""
    if not skipped:
        return ""
    named = [f"{_relative(path, source)} {reason}" for path, reason in list(skipped.items())[:NAMED]]
    more = f"; and {len(skipped) - NAMED} more" if len(skipped) > NAMED else ""
    return f" ({'; '.join(named)}{more})"


def _relative(path: Path, source: Path) -> str:
    return printable(path.relative_to(source) if path.is_relative_to(source) else path)


def _clip_names(paths: Sequence[Path], source: Path | None) -> list[str]:
    """Return the name of each clip: a video's loses its suffix unless two clips would then share a name.

    The names of folders between `source` and a video are part of its name: day1-cam1. None: they are not.
    """

    def full(path: Path, name: str) -> str:
        return "-".join([*path.relative_to(source).parts[:-1], name]) if source else name

    short = [full(path, path.stem if is_video(path) else path.name) for path in paths]
    shared = {name for name, count in Counter(name.casefold() for name in short).items() if count > 1}
    return unique_names(
        full(path, path.name) if name.casefold() in shared else name
        for path, name in zip(paths, short, strict=True)
    )


def _clip(path: Path, name: str) -> Clip:
    if not path.exists():
        raise ClipError(name, f"{printable(path.name)} is a broken link")
    if is_video(path):
        return Clip(name, path, "video", (path,))
    try:
        files = pictures(path)
    except OSError as error:
        raise ClipError(name, f"{printable(path.name)} cannot be read ({error.strerror})") from error
    if not files:
        raise ClipError(name, f"no frames in {printable(path.name)}")
    clip = Clip(name, path, "frames", tuple(files))
    first_with: dict[str, Path] = {}
    for frame, file in zip(clip.frame_names(len(files)), files, strict=True):
        if frame in first_with:
            both = f"{printable(first_with[frame].name)} and {printable(file.name)}"
            raise ClipError(name, f"{both} name the same frame; keep one of them")
        first_with[frame] = file
    return clip


def _numbering_gap(clip: Clip) -> str | None:
    """Return a warning if the numbers of the frames have gaps."""
    gaps = numbering_gaps(clip.files) if clip.kind == "frames" else []
    if not gaps:
        return None
    before, after = (printable(file.name) for file in gaps[0])
    more = f" ({len(gaps)} such gaps)" if gaps[1:] else ""
    return f"{clip.name}: no frame between {before} and {after}{more}; neighbours in order are used"


def _keep_split(found: ClipList, split: str, names: Sequence[str]) -> ClipList:
    clips: dict[str, Clip] = {}
    set_aside: dict[str, SetAside] = {}
    beside = [clip.path.parent for clip in found.clips] + [
        item.path.parent for item in found.set_aside if item.path
    ]
    for name in names:
        matches, already = _matching(found, name)
        clips |= {clip.name: clip for clip in matches}
        set_aside |= {entry.name: entry for entry in already}
        if not matches and not already:
            leaves = Path(name).is_absolute() or ".." in re.split(r"[/\\]", name)
            reason = "leaves the data folder; refused" if leaves else "no such folder next to the other clips"
            place = beside[0] / name if beside else None
            reason = f"listed in split {split}: {reason}"
            set_aside[name] = SetAside(printable(name), reason, place, missing=not leaves)
    in_order = tuple(clip for clip in found.clips if clip.name in clips)
    return replace(found, clips=in_order, set_aside=tuple(set_aside.values()))


def _keep_evaluated(found: ClipList, known: DataSet, source: Path) -> tuple[ClipList, list[str]]:
    """Return the clips that the benchmark's figures are averaged over, and a warning that counts missing ones.

    Raises:
        ValueError: if all of them are missing.
    """
    wanted = set(known.evaluated)
    clips = tuple(clip for clip in found.clips if clip.path.name in wanted)
    set_aside = tuple(entry for entry in found.set_aside if entry.name in wanted)
    there = {clip.path.name for clip in clips} | {entry.name for entry in set_aside}
    if not there:
        raise ValueError(
            f"{printable(source)} has no clip of {known.name} {known.split}; --split all uses the others"
        )
    missing = [name for name in known.evaluated if name not in there]
    counted = (
        f"{known.name} {known.split} has {len(wanted)} clips; {len(missing)} are not in {printable(source)}"
    )
    return replace(found, clips=clips, set_aside=set_aside), [counted] if missing else []


def _keep_only(found: ClipList, only: Sequence[str], source: Path) -> ClipList:
    clips: set[str] = set()
    set_aside: set[str] = set()
    wanted = [part for names in only for part in _listed(found, names)]
    if not wanted:
        raise ValueError(
            f"{', '.join(only)!r} names no clip of {printable(source)}; separate names by commas"
        )
    for name in wanted:
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


def _listed(found: ClipList, names: str) -> list[str]:
    """Split `a,b` at its commas, unless a clip is called just so."""
    if any(_matching(found, names)) or "," not in names:
        return [names]
    return [name.strip() for name in names.split(",") if name.strip()]


def _matching(found: ClipList, name: str) -> tuple[list[Clip], list[SetAside]]:
    """Return the clips with that file name; else with that clip name; else the videos with that name plus a suffix.

    If there are none, the second value lists the clips of that name that were set aside.
    """
    for attribute in ("path.name", "name", "path.stem"):
        if matches := [clip for clip in found.clips if attrgetter(attribute)(clip) == name]:
            return matches, []
    return [], [entry for entry in found.set_aside if entry.name in (name, safe_name(name))]
