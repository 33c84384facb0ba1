"""The masks of a video's shots together: <folder>/masks/<video> holds what <folder>/masks/<video>#01, ... hold."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from motion_adapt.storage.atomic import whole_folder
from motion_adapt.storage.results.export import Origin, claimed, sign_incomplete


def join_masks(folder: Path, name: str, shots: Mapping[str, Sequence[str]], origin: Origin) -> Path | None:
    """Write <folder>/masks/<name> with the masks of all shots.

    Returns the folder that earlier results of another content were moved to, or None if nothing was moved.

    The files are hard links if the file system has them, so they take no space.

    Args:
        folder: of the results.
        name: of the video.
        shots: the names of the frames by the name of the shot.
        origin: the video.

    Raises:
        ResultsTaken: if the folder has the results of another video of this name.
    """
    with claimed(folder, name, origin) as moved, whole_folder(folder / "masks" / name) as partial:
        sign_incomplete(folder, name, origin)
        for shot, frames in shots.items():
            for frame in frames:
                source = folder / "masks" / shot / f"{frame}.png"
                try:
                    os.link(source, partial / source.name)
                except OSError:
                    shutil.copyfile(source, partial / source.name)
    return moved
