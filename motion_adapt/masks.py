"""Masks of clips as arrays, read from indexed PNGs when they are asked for."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from motion_adapt.storage.clips.find_clips import OWN, Clip, find_clips
from motion_adapt.storage.formats.label_maps import ClipMasks
from motion_adapt.storage.formats.label_rules import Background
from motion_adapt.storage.formats.masks import masks_folder, read_masks
from motion_adapt.storage.names import count_of, printable


class Masks(Mapping[str, NDArray[np.uint8]]):
    """The masks of clips, by clip name.

    `masks["clip"]` is u8 (T, H, W) at the frames' own size: 0 background, 1, 2, 3, ... the objects, 255 void. Each
    access reads the files anew; `frames` reads a long clip one frame at a time.
    """

    def __init__(self, clips: Iterable[Clip], background: Background = "black") -> None:
        self._clips, self._background = {clip.name: clip for clip in clips}, background

    def __getitem__(self, clip: str) -> NDArray[np.uint8]:
        return np.stack(list(self.frames(clip)))

    def __iter__(self) -> Iterator[str]:
        return iter(self._clips)

    def __contains__(self, clip: object) -> bool:
        return clip in self._clips  # the base class would read the masks

    def __len__(self) -> int:
        return len(self._clips)

    def __repr__(self) -> str:
        return f"Masks of {count_of(len(self), 'clip')}: {', '.join(self)}"

    def frames(self, clip: str) -> Iterator[NDArray[np.uint8]]:
        """Yield the masks of a clip frame by frame, u8 (H, W) each.

        Warns of masks that are not read as they are stored.

        Raises:
            KeyError: if there is no such clip.
            ValueError: for a file that is missing, damaged, no mask or of another size than the first; names it.
        """
        if clip not in self._clips:
            raise KeyError(f"no masks of a clip {clip!r}; there are {', '.join(self)}")
        masks = ClipMasks(self._clips[clip].files, self._background)
        for path, text in masks.notes:
            warnings.warn(f"masks of {clip}: {printable(path.name)} {text}", stacklevel=2)
        return read_masks(masks)

    def frame_names(self, clip: str) -> tuple[str, ...]:
        """Return the names of a clip's frames, in order."""
        found = self._clips[clip]
        return found.frame_names(len(found.files))


def load_masks(
    folder: str | Path,
    *,
    clips: Sequence[str] | None = None,
    background: Literal["black", "border"] = "black",
) -> Masks:
    """Read masks from a folder of results, or from any folder with one folder of indexed PNGs per clip.

    >>> import motion_adapt
    >>> masks = motion_adapt.load_masks("results")
    >>> list(masks)
    ['heron']
    >>> masks["heron"].shape, masks["heron"].dtype
    ((8, 136, 240), dtype('uint8'))

    Args:
        folder: the folder; of a run's results, the masks in it are taken.
        clips: names of the clips to take, which may be none; None: all.
        background: the background of masks in colours: black, or the most frequent colour on the clip's borders.

    Raises:
        ValueError: if there are no masks in the folder, or a clip is missing or cannot be used.
    """
    if clips is not None and len(clips) == 0:
        return Masks(())
    root = masks_folder(Path(folder))
    found = find_clips(root, only=clips or (), dataset=OWN)
    for unusable in found.set_aside:
        raise ValueError(f"{root}: {unusable.name}: {unusable.reason}")
    return Masks(found.clips, background)
