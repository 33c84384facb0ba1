"""Annotations of a clip, for evaluation alone: nothing else in the package may open one.

Files lie in <annotations>/<clip>/<frame>.png, or as the benchmark that they belong to has them
(`storage.labels.truth`), and need not be there for every frame: frames without one are not scored. What counts
as an object is decided by `storage.formats.masks.decode_labels`, or by the benchmark's own rule.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from motion_adapt.storage.clips.find_clips import Clip
from motion_adapt.storage.datasets.catalogue import DataSet
from motion_adapt.storage.datasets.layouts import is_table, truth_folder
from motion_adapt.storage.formats.images import PictureError
from motion_adapt.storage.keys import digest
from motion_adapt.storage.labels.truth import Truth, due, found
from motion_adapt.storage.names import printable


class AnnotationError(ValueError):
    """A clip's annotations cannot be used, so the clip is unscored; `reason` names the offending file."""

    def __init__(self, clip: str, reason: str) -> None:
        super().__init__(clip, reason)
        self.clip, self.reason = clip, reason

    def __str__(self) -> str:
        return f"annotations of {self.clip}: {self.reason}"


class Annotations:
    """The annotated frames of one clip, read one at a time.

    `frames` are the names that have a mask, in the clip's order; `warnings` names frames without a mask,
    masks without a frame and, once they have been read, masks with grey levels.
    """

    def __init__(
        self, clip: str, files: Mapping[str, Truth], size: tuple[int, int], warnings: list[str]
    ) -> None:
        self.clip, self.size, self.warnings = clip, size, warnings
        self.frames = tuple(files)
        self._files = files
        self._grey: str | None = None

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        """Each annotated frame's name and label map."""
        return ((frame, self.read(frame)) for frame in self.frames)

    def content(self, frame_names: Sequence[str]) -> str:
        """Digest of which frames have which bytes as their mask; file and clip names do not enter."""
        places = {name: index for index, name in enumerate(frame_names)}
        return digest([[places[frame], truth.content()] for frame, truth in self._files.items()])

    def read(self, frame: str) -> np.ndarray:
        """u8 (H, W): 0 background, 1, 2... objects, 255 void. Raises AnnotationError naming the file."""
        path = self._files[frame].path
        try:
            decoded = self._files[frame].decode(self.size)
        except PictureError as error:
            raise AnnotationError(self.clip, f"{printable(path.name)} {error}") from error
        if decoded.labels.shape != self.size:
            height, width = decoded.labels.shape
            sizes = f"is {width}x{height}, its frame is {self.size[1]}x{self.size[0]}"
            raise AnnotationError(self.clip, f"{printable(path.name)} {sizes}")
        if decoded.grey_levels and not self._grey:
            self._grey = frame
            self.warnings.append(
                f"annotations of {self.clip}: {printable(path.name)} has grey levels; all but 0 is foreground"
            )
        return decoded.labels


def open_annotations(
    root: Path,
    clip: Clip,
    frame_names: Sequence[str],
    *,
    size: tuple[int, int],
    data_set: DataSet | None = None,
) -> Annotations:
    """The annotations under `root` (as `find_clips` located it) for a clip whose frames are `size` (H, W).

    `data_set`: the benchmark that they belong to, whose layout and colours are then read. Opens no picture yet.
    Raises AnnotationError where the clip has none at all.
    """
    name = clip.path.stem if clip.kind == "video" else clip.path.name
    folder = root if is_table(root) else truth_folder(root, name)
    try:
        there = found(root, name, frame_names, data_set)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AnnotationError(clip.name, f"there is no folder {printable(folder)}") from error
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
            f"annotations of {clip.name}: {_listed(missing)} missing; frames without a mask are not scored"
        )
    if extra:
        warnings.append(f"annotations of {clip.name}: {_listed(extra)} without a frame; ignored")
    return Annotations(clip.name, files, size, warnings)


def _listed(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
