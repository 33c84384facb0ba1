"""Frames: a video file or image folder becomes validated RGB frames in the store."""

from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH, resize_frames
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.clips.find_clips import Clip, ClipError
from motion_adapt.storage.clips.videos import content_digest, frame_rate, open_frames
from motion_adapt.storage.names import printable
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import NotKeyed, stage

DIMS = ("time", "row", "column", "channel")


@stage("frames", version=1)
def decode(
    *, content: str, limit: int | None, clip: NotKeyed[Clip], place: Place, out: ArtifactWriter
) -> None:
    """Decode a clip.

    `content` is the digest of the clip's file bytes, `limit` the number of frames to decode (None: all).
    Writes `native` u8 (T, H', W', 3), the frames' own size, and `rgb` u8 (T, 128, 224, 3), the networks' input.

    Raises:
        ClipError: if a file cannot be used, or no longer has the digest `content`; names the clip and the file.
    """
    frames = 0
    shape: tuple[int, ...] = ()
    with track(limit or len(clip.files), f"frames of {place.label}") as advance:
        stream = open_frames(clip, limit=limit)
        for frame in stream:
            out.append("native", frame[None], DIMS)
            out.append("rgb", resize_frames(frame[None], HEIGHT, WIDTH), DIMS)
            frames, shape = frames + 1, frame.shape
            advance(1)
    out.summary = {"frames": frames, "height": shape[0], "width": shape[1], "rate": frame_rate(clip)}
    if (
        content_digest(clip, limit=limit) != content
    ):  # the file was still being copied, or was replaced: these frames do not belong to the key
        raise ClipError(clip.name, f"{printable(clip.path.name)} changed while it was read; run again")
    out.made["warnings"] = (
        stream.warnings
    )  # not in the summary: they name the clip, which is not part of the result
