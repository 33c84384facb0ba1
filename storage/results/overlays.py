"""Pictures for people: masks drawn over frames, flow as colours, and a clip's overlay video.

Masks have the colours of the DAVIS palette, as exported masks do, so that object 2 is green everywhere.
"""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from motion_adapt.storage.atomic import whole_file
from motion_adapt.storage.formats.label_rules import VOID, davis_palette

# Pixels of an overlay at most, of its longer and its shorter side: 4K would take most of a run's time and memory.
LONG_SIDE, SHORT_SIDE = 1920, 1080
# torchvision's flow_to_image scales each picture by its own fastest motion, which would show noise as motion.
# Hues of the Middlebury flow wheel, starting at rightward motion: the colour, and the number of steps to the next.
_WHEEL = {
    "red": (255, 0, 0, 15), "yellow": (255, 255, 0, 6), "green": (0, 255, 0, 4),
    "cyan": (0, 255, 255, 11), "blue": (0, 0, 255, 13), "magenta": (255, 0, 255, 6),
}  # fmt: skip


def overlay(frame: np.ndarray, labels: np.ndarray, *, opacity: float = 0.5) -> np.ndarray:
    """Draw u8 (H, W) labels over a u8 (H, W, 3) RGB frame: each object tinted, with a light contour.

    Labels of another size are scaled to the frame; void (255) is not drawn. Returns u8 (H, W, 3) RGB.
    """
    height, width = frame.shape[:2]
    labels = np.where(labels == VOID, 0, labels).astype(np.uint8)
    if labels.shape != (height, width):
        labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
    drawn, inside = frame.copy(), labels > 0
    colours = davis_palette()[labels[inside]].astype(np.float32)  # (n, 3)
    drawn[inside] = (1 - opacity) * frame[inside] + opacity * colours
    thickness = max(1, round(min(height, width) / 240))
    for label in np.unique(labels[labels > 0]):
        shape = (labels == label).astype(np.uint8)
        contours, _ = cv2.findContours(shape, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        light = (davis_palette()[label] // 2 + 128).tolist()
        cv2.drawContours(drawn, contours, -1, light, thickness, cv2.LINE_AA)
    return drawn


def at_most_full_hd(frame: np.ndarray) -> np.ndarray:
    """Shrink a u8 (H, W, 3) frame whose sides exceed 1920 and 1080 pixels, the longer and the shorter one."""
    sides = frame.shape[:2]
    scale = min(1.0, LONG_SIDE / max(sides), SHORT_SIDE / min(sides))
    if scale == 1:
        return frame
    height, width = (max(1, round(side * scale)) for side in sides)
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def flow_colours(flow: np.ndarray, *, largest: float | None = None) -> np.ndarray:
    """Return flow, f32 (H, W, 2), as u8 (H, W, 3) RGB in Middlebury's colours: hue is direction, saturation speed.

    No motion is white. Speeds of `largest` pixels or more (default: the largest speed in `flow`, at least 1) are fully
    saturated.
    """
    u, v = flow[..., 0].astype(np.float64), flow[..., 1].astype(np.float64)
    speed = np.hypot(u, v)
    if largest is None:
        largest = max(1.0, float(speed.max(initial=0)))
    steps = [stop[3] for stop in _WHEEL.values()]
    places = np.concatenate([[0], np.cumsum(steps)]) / sum(steps)  # positions of the hues, from 0 to 1
    hues = np.array([stop[:3] for stop in (*_WHEEL.values(), _WHEEL["red"])], np.float64)
    turn = (np.arctan2(-v, -u) / np.pi + 1) / 2
    pure = np.stack([np.interp(turn, places, hues[:, channel]) for channel in range(3)], axis=-1)  # (H, W, 3)
    share = np.clip(speed / largest, 0, 1)[..., None]
    return (255 - share * (255 - pure)).round().astype(np.uint8)


def write_overlay_video(
    path: Path,
    frames: Iterable[np.ndarray],
    label_maps: Iterable[np.ndarray],
    *,
    rate: float = 24.0,
    opacity: float = 0.5,
) -> None:
    """Write an H.264 video (.mp4, plays in browsers) of frames with their masks; it appears whole or not at all.

    Frames are streamed. Odd sizes are padded by repeating the last row or column.

    Args:
        path: the video file.
        frames: u8 (H, W, 3) RGB each.
        label_maps: u8 (H, W) each, as in `overlay`.
        rate: frames per second.
        opacity: of the tint, in [0, 1].

    Raises:
        ValueError: if there are no frames, or the numbers of frames and label maps differ.
    """
    with (
        whole_file(path) as partial,
        av.open(str(partial), "w", options={"movflags": "faststart"}) as container,
    ):
        stream: av.VideoStream | None = None
        for frame, labels in zip(frames, label_maps, strict=True):
            drawn = overlay(at_most_full_hd(frame), labels, opacity=opacity)
            height, width = drawn.shape[:2]
            drawn = np.pad(drawn, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            stream = stream or _h264_stream(container, drawn.shape[0], drawn.shape[1], rate)
            picture = av.VideoFrame.from_ndarray(drawn, format="rgb24")
            container.mux(stream.encode(picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)))
        if stream is None:
            raise ValueError(f"no frames for {path}")
        container.mux(stream.encode(None))


def _h264_stream(container: OutputContainer, height: int, width: int, rate: float) -> av.VideoStream:
    """Add a stream that browsers play and show in the right colours: yuv420p, BT.709 and tagged as such."""
    stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
    stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
    stream.options = {
        "crf": "20",
        "preset": "veryfast",  # half the time of the default, for about the same size
        "x264-params": "mbtree=0",  # with mbtree, equal frames can give different bytes
    }
    stream.codec_context.colorspace = Colorspace.ITU709
    stream.codec_context.color_primaries = ColorPrimaries.BT709
    stream.codec_context.color_trc = ColorTrc.BT709
    stream.codec_context.color_range = ColorRange.MPEG
    return stream
