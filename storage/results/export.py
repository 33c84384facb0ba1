"""Results as files: indexed PNGs in DAVIS layout, overlay video and stage strip, per clip.

    <folder>/masks/<clip>/<frame>.png
    <folder>/overlays/<clip>.mp4
    <folder>/strips/<clip>.png

A stamp per clip records which artifacts the files show, so that an up-to-date export is not written again. Earlier
results of a clip that the latest run could not process are moved to <folder>/earlier/.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.atomic import whole_file
from motion_adapt.storage.formats.masks import write_masks
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.locks import alone
from motion_adapt.storage.names import safe_name

STAMPS, EARLIER = ".exported", "earlier"
PATIENCE = 600.0  # seconds to wait for another process that exports the same clip


def export_clip(
    store: ArtifactStore,
    final: Artifact,
    pictures: Artifact,
    folder: Path,
    name: str,
    frame_names: Sequence[str],
) -> Path:
    """Write a clip's masks (`labels` of `final`) and pictures. Returns the path of its strip.

    Raises:
        OSError: if the folder cannot be written, or another process holds the clip for longer than `PATIENCE`.
    """
    stamp, masks_folder, overlay, strip = _parts(folder, name)
    wanted = json.dumps([final.digest, pictures.digest, list(frame_names)])
    masks = [masks_folder / f"{frame}.png" for frame in frame_names]
    with alone(folder / STAMPS / f".{name}.lock", patience=PATIENCE) as held:
        if not held:
            raise OSError(f"{name}: another process has been writing its results for {PATIENCE:.0f} seconds")
        same = stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted
        if same and all(path.is_file() for path in (overlay, strip, *masks)):
            return strip
        stamp.unlink(missing_ok=True)  # first, so that a kill below never leaves new masks with an old stamp
        write_masks(folder / "masks", name, frame_names, _labels(store, final))
        shown = store.open(pictures)
        for path, entry in ((overlay, "overlay.mp4"), (strip, "strip.png")):
            with whole_file(path) as beside:
                beside.write_bytes(shown.read(entry))
        with whole_file(stamp) as beside:
            beside.write_text(wanted, encoding="utf-8")
        return strip


def retire_clip(folder: Path, name: str) -> Path | None:
    """Move a clip's earlier results to <folder>/earlier/. Returns that folder, or None if there were no results.

    Replaces what is already there for this clip. If the process is killed, the next call moves the rest. The stamp is
    deleted first, so results that are only partly moved never count as an up-to-date export.
    """
    if safe_name(name) != name:
        return None  # results are only ever written under safe names
    moved = False
    stamp, *results = _parts(folder, name)
    with alone(folder / STAMPS / f".{name}.lock", patience=PATIENCE):
        stamp.unlink(missing_ok=True)
        for path in results:
            if not path.exists():
                continue
            there = folder / EARLIER / path.relative_to(folder)
            there.parent.mkdir(parents=True, exist_ok=True)
            if there.is_dir():
                shutil.rmtree(there)
            path.replace(there)
            moved = True
    return folder / EARLIER if moved else None


def _parts(folder: Path, name: str) -> tuple[Path, Path, Path, Path]:
    """Return the paths of a clip's stamp, masks, overlay and strip."""
    return (
        folder / STAMPS / f"{name}.json",
        folder / "masks" / name,
        folder / "overlays" / f"{name}.mp4",
        folder / "strips" / f"{name}.png",
    )


def _labels(store: ArtifactStore, final: Artifact) -> Iterator[np.ndarray]:
    for _, block in store.open(final).array("labels").blocks():
        yield from block
