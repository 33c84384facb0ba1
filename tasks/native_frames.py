"""Frames of native size, from the store if it has a copy, else decoded from the clip's source.

Importable without Prefect or torch, because worker processes read frames too.
"""

from dataclasses import replace

from motion_adapt.storage.artifacts.arrays import StoredArray
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.clips.find_clips import Clip
from motion_adapt.storage.clips.source_frames import SourceFrames
from motion_adapt.storage.keys import Artifact, Recipe

DIGESTS = "native.digests"  # next to the frames: `frame_digest` of every native frame
COPIES = Recipe("native-frames", 1)  # plus the frames as input


def native_frames(store: ArtifactStore, frames: Artifact, clip: Clip) -> StoredArray | SourceFrames:
    """Return the native frames u8 (T, H', W', 3) of a clip, indexed along time like a NumPy array.

    Args:
        store: the store.
        frames: the clip's artifact of the stage `frames`.
        clip: the clip, where its files are now.
    """
    reader = store.open(frames)
    entry = reader.manifest.arrays["native"]
    if copies := store.find(replace(COPIES, inputs={"frames": frames})):
        return store.open(copies).array("native")
    return SourceFrames(
        clip,
        shape=entry.shape,
        digests=reader.read(DIGESTS),
        content=reader.manifest.settings["content"],
        limit=reader.manifest.settings["limit"],
        damaged=reader.damaged,
    )
