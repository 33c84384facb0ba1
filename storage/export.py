"""Results as files: indexed PNGs in DAVIS layout, overlay video and stage strip, per clip.

    <folder>/masks/<clip>/<frame>.png
    <folder>/overlays/<clip>.mp4
    <folder>/strips/<clip>.png

A stamp beside them says which artifacts they show, so that an export that is still right is not written again.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from storage.artifacts import ArtifactStore
from storage.keys import Artifact
from storage.masks import write_masks
from storage.whole import whole_file

STAMPS = ".exported"


def export_clip(
    store: ArtifactStore,
    final: Artifact,
    pictures: Artifact,
    folder: Path,
    name: str,
    frame_names: Sequence[str],
) -> Path:
    """Write a clip's masks (`labels` of `final`) and pictures; returns the path of its strip.

    Raises:
        OSError: where the folder can't be written.
    """
    overlay, strip = folder / "overlays" / f"{name}.mp4", folder / "strips" / f"{name}.png"
    stamp = folder / STAMPS / f"{name}.json"
    wanted = json.dumps([final.digest, pictures.digest, list(frame_names)])
    masks = [folder / "masks" / name / f"{frame}.png" for frame in frame_names]
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        if all(path.is_file() for path in (overlay, strip, *masks)):
            return strip
        stamp.unlink()
    write_masks(folder / "masks", name, frame_names, _labels(store, final))
    shown = store.open(pictures)
    for path, entry in ((overlay, "overlay.mp4"), (strip, "strip.png")):
        with whole_file(path) as beside:
            beside.write_bytes(shown.read(entry))
    with whole_file(stamp) as beside:
        beside.write_text(wanted, encoding="utf-8")
    return strip


def _labels(store: ArtifactStore, final: Artifact) -> Iterator[np.ndarray]:
    for _, block in store.open(final).array("labels").blocks():
        yield from block
