"""Frames: a video file or image folder becomes validated RGB frames at the networks' resolution.

Frames of native size stay in their source (tasks/native_frames.py). `keep_native` copies them into the store.
"""

from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH, resize_frames
from motion_adapt.models.inputs.rounding import rounded_frames
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.clips.find_clips import Clip, ClipError
from motion_adapt.storage.clips.source_frames import frame_digest
from motion_adapt.storage.clips.videos import content_digest, frame_rate, open_frames
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.names import printable
from motion_adapt.tasks.native_frames import COPIES, DIGESTS, native_frames
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import NotKeyed, stage

DIMS = ("time", "row", "column", "channel")


@stage("frames", version=2)
def decode(
    *, content: str, limit: int | None, clip: NotKeyed[Clip], place: Place, out: ArtifactWriter
) -> None:
    """Decode a clip.

    `content` is the digest of the clip's file bytes, `limit` the number of frames to decode (None: all).
    Writes `rgb` u8 (T, 128, 224, 3), the networks' input, in levels that are multiples of 4. `native` u8
    (T, H', W', 3), the frames' own size, is part of the result, but not of the store: `tasks.native_frames` reads it,
    and checks it against the digests written here.

    Raises:
        ClipError: if a file cannot be used, or no longer has the digest `content`; names the clip and the file.
    """
    digests: list[bytes] = []
    shape: tuple[int, ...] = ()
    with track(limit or len(clip.files), f"frames of {place.label}") as advance:
        stream = open_frames(clip, limit=limit)
        for frame in stream:
            out.witness("native", frame[None], DIMS)
            digests.append(frame_digest(frame))
            out.append("rgb", rounded_frames(resize_frames(frame[None], HEIGHT, WIDTH)), DIMS)
            shape = frame.shape
            advance(1)
    out.put(DIGESTS, b"".join(digests), aid=True)
    out.summary = {
        "frames": len(digests),
        "height": shape[0],
        "width": shape[1],
        "rate": frame_rate(clip),
    }
    # If the file was still being copied, or was replaced, these frames do not belong to the key.
    if content_digest(clip, limit=limit) != content:
        raise ClipError(clip.name, f"{printable(clip.path.name)} changed while it was read; run again")
    # Not in the summary: warnings name the clip, which is not part of the result.
    out.made["warnings"] = stream.warnings


@stage(COPIES.stage, version=COPIES.version)
def keep_native(frames: Artifact, *, clip: NotKeyed[Clip], place: Place, out: ArtifactWriter) -> None:
    """Copy a clip's native frames into the store: writes `native` u8 (T, H', W', 3).

    Raises:
        SourceLost: if the clip's source is gone or has changed.
    """
    native = native_frames(place.open(), frames, clip)
    with track(len(native), f"native frames of {place.label}") as advance:
        for index in range(len(native)):
            out.append("native", native[[index]], DIMS)
            advance(1)
    out.summary = {"frames": len(native)}
