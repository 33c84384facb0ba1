"""Annotations of a clip. Only evaluation and the supervised `finetune-upsampler` may open them.

Files are <annotations>/<clip>/<frame>.png, or laid out as their benchmark has them (`storage.labels.truth`). Frames
without an annotation are not scored. `storage.formats.label_rules`, or the benchmark's own rule, decides what
counts as an object.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from motion_adapt.storage.clips.find_clips import Clip
from motion_adapt.storage.datasets.catalogue import DataSet
from motion_adapt.storage.datasets.layouts import is_table, truth_folder
from motion_adapt.storage.formats.images import PictureError, picture_size
from motion_adapt.storage.formats.label_rules import Background
from motion_adapt.storage.keys import digest
from motion_adapt.storage.labels.truth import Truth, due, found, not_read
from motion_adapt.storage.names import printable, some


class AnnotationError(ValueError):
    """A clip's annotations cannot be used, so the clip is not scored; `reason` names the invalid file."""

    def __init__(self, clip: str, reason: str) -> None:
        super().__init__(clip, reason)
        self.clip, self.reason = clip, reason

    def __str__(self) -> str:
        return f"annotations of {self.clip}: {self.reason}"


class Annotations:
    """The annotated frames of one clip, read one at a time.

    `frames` are the names that have a mask, in the clip's order. `warnings` names frames without a mask, masks
    without a frame and, after they have been read, what is not read as it is stored.
    """

    def __init__(
        self,
        clip: str,
        files: Mapping[str, Truth],
        size: tuple[int, int],
        warnings: list[str],
        compared: str = "its frame is",
    ) -> None:
        self.clip, self.size, self.warnings, self.compared = clip, size, warnings, compared
        self.frames = tuple(files)
        self._files = files

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each annotated frame's name and label map."""
        return ((frame, self.read(frame)) for frame in self.frames)

    def content(self, frame_names: Sequence[str]) -> str:
        """Return a digest of the masks' bytes and frame numbers. Names of files and clips do not affect it."""
        places = {name: index for index, name in enumerate(frame_names)}
        return digest([[places[frame], truth.content()] for frame, truth in self._files.items()])

    def read(self, frame: str) -> np.ndarray:
        """Return one frame's labels, u8 (H, W): 0 background, 1, 2... objects, 255 void.

        Raises:
            AnnotationError: if the file is damaged or of another size than its frame; names the file.
        """
        path = self._files[frame].path
        try:
            labels = self._files[frame].decode(self.size)
        except PictureError as error:
            raise AnnotationError(self.clip, f"{printable(path.name)} {error}") from error
        if labels.shape != self.size:
            height, width = labels.shape
            sizes = f"is {width}x{height}, {self.compared} {self.size[1]}x{self.size[0]}"
            raise AnnotationError(self.clip, f"{printable(path.name)} {sizes}")
        for shown, note in self._files[frame].notes:
            warning = f"annotations of {self.clip}: {printable(shown.name)} {note}"
            if warning not in self.warnings:
                self.warnings.append(warning)
        return labels


def annotated_frames(
    root: Path, clip: Clip, data_set: DataSet | None, frame_names: Sequence[str]
) -> list[str]:
    """Return the names of all frames with an annotation, whether or not they are among the clip's own `frame_names`.

    The list is empty if the annotations can't be found; `open_annotations` says why.
    """
    try:
        return list(found(root, _folder_name(clip), frame_names, data_set))
    except (OSError, PictureError):
        return []


def _folder_name(clip: Clip) -> str:
    return clip.path.stem if clip.kind == "video" else clip.path.name


def open_annotations(
    root: Path,
    clip: Clip,
    frame_names: Sequence[str],
    *,
    size: tuple[int, int] | None,
    data_set: DataSet | None = None,
    background: Background = "black",
    compared: str = "its frame is",
) -> Annotations:
    """Locate a clip's annotations without decoding a picture.

    Args:
        root: folder or table of annotations, as `find_clips` located it.
        clip: the annotated clip.
        frame_names: names of the clip's frames, in order.
        size: (H, W) of its frames; None takes that of the first annotation, which must be a picture.
        data_set: the benchmark that the annotations belong to; decides layout and colours.
        background: what is behind the objects of annotations in colours, if they are no benchmark's.
        compared: what the size is of, for messages about another one.

    Raises:
        AnnotationError: if the clip has no annotations or they cannot be read.
    """
    name = _folder_name(clip)
    folder = root if is_table(root) else truth_folder(root, name)
    try:
        there = found(root, name, frame_names, data_set, background)
    except (FileNotFoundError, NotADirectoryError) as error:
        where = f"there is no folder {printable(folder)}{_like(folder)}"
        raise AnnotationError(clip.name, where) from error
    except OSError as error:
        raise AnnotationError(clip.name, f"{printable(folder)} cannot be read ({error.strerror})") from error
    except PictureError as error:
        raise AnnotationError(clip.name, f"{printable(folder)} {error}") from error
    files = {frame: there[frame] for frame in frame_names if frame in there}
    if not files:
        raise AnnotationError(clip.name, f"no mask in {printable(folder)} is named like a frame")
    missing = [f"{frame}.png" for frame in due(frame_names, list(files), data_set) if frame not in there]
    extra = [printable(truth.path.name) for frame, truth in there.items() if frame not in set(frame_names)]
    warnings = []
    if missing:
        warnings.append(
            f"annotations of {clip.name}: {some(missing)} missing; frames without a mask are not scored"
        )
    if extra:
        warnings.append(f"annotations of {clip.name}: {some(extra)} without a frame; ignored")
    if passed := [printable(path.name) for truth in files.values() for path in not_read(truth)]:
        warnings.append(
            f"annotations of {clip.name}: {some(passed)} not read: of pictures that name the same frame, a PNG "
            "goes first"
        )
    try:
        size = size or picture_size(next(iter(files.values())).path)
    except PictureError as error:
        path = next(iter(files.values())).path
        raise AnnotationError(clip.name, f"{printable(path.name)} {error}") from error
    return Annotations(clip.name, files, size, warnings, compared)


def _like(folder: Path) -> str:
    """Name the folder next to a missing one that is called most alike, in any case of letters; else an empty text."""
    try:
        names = {path.name.casefold(): path.name for path in folder.parent.iterdir() if path.is_dir()}
    except OSError:
        return ""
    near = difflib.get_close_matches(folder.name.casefold(), names, n=1, cutoff=0.7)
    return f"; did you mean {printable(names[near[0]])!r}?" if near else ""
