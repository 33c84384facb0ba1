"""Small pictures and videos for the tests of reading and writing."""

from pathlib import Path

import av
import numpy as np
from PIL import Image


def picture(index: int = 0, height: int = 36, width: int = 64) -> np.ndarray:
    """Return a frame that differs for every index: a bright square that moves over a gradient."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[..., 0] = np.linspace(0, 200, width, dtype=np.uint8)
    frame[..., 1] = np.linspace(0, 200, height, dtype=np.uint8)[:, None]
    frame[8:16, 4 + 2 * index : 12 + 2 * index, 2] = 255
    return frame


def save_frames(folder: Path, names: list[str], **size: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        Image.fromarray(picture(index, **size)).save(folder / name)
    return folder


def save_video(path: Path, count: int = 5, codec: str = "libx264", **size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        first = picture(**size)
        stream.height, stream.width, stream.pix_fmt = first.shape[0], first.shape[1], "yuv420p"
        for index in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index, **size), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def save_as(path: Path, codec: str, container: str | None, count: int = 8, **options: str) -> Path:
    """Save a video in a container of FFmpeg's that the name need not tell."""
    with av.open(str(path), "w", format=container, options=options) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        for index in range(count):
            shown = av.VideoFrame.from_ndarray(picture(index, height=48))
            out.mux(stream.encode(shown.reformat(format=stream.pix_fmt)))
        out.mux(stream.encode(None))
    return path
