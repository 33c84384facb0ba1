"""Optical flow in Middlebury's .flo files and in the folder layout commonly used for them.

A file is little-endian: float32 202021.25, int32 width, int32 height, then height x width x (u, v)
float32. Flow from frame i to frame i + g is in Flows_gap<g>/<clip>/<frame i>.flo, also for negative g.
"""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from motion_adapt.storage.atomic import whole_file
from motion_adapt.storage.formats.images import MAX_PIXELS, PictureError, open_bytes
from motion_adapt.storage.keys import digest, file_digest
from motion_adapt.storage.names import printable

_HEADER = struct.Struct("<fii")
_MAGIC = 202021.25  # reads "PIEH" as text
# In 16 bits, as flow is stored, larger displacements are infinite. The format marks unknown flow by values above 1e9.
LARGEST = float(np.finfo(np.float16).max)


def write_flo(path: Path, flow: np.ndarray) -> None:
    """Write flow, f32 (H, W, 2), u and v in pixels; the file appears whole or not at all.

    Raises:
        ValueError: if the flow has another shape or dtype.
    """
    if flow.dtype != np.float32 or flow.ndim != 3 or flow.shape[2] != 2:
        raise ValueError(f"flow must be f32 (H, W, 2), got {flow.dtype} {flow.shape}")
    height, width, _ = flow.shape
    with whole_file(path) as partial, partial.open("wb") as file:
        file.write(_HEADER.pack(_MAGIC, width, height))
        file.write(flow.astype("<f4").tobytes())


def read_flo(path: Path) -> np.ndarray:
    """Read flow, f32 (H, W, 2), u and v in pixels.

    Raises:
        ValueError: if the file cannot be read, is incomplete, or holds values that are not finite or that mark flow as
            unknown; names the file.
    """
    try:
        with open_bytes(path) as file:
            header, body = file.read(_HEADER.size), path.stat().st_size - _HEADER.size
            if len(header) < _HEADER.size:
                raise PictureError("is cut short: no header")
            magic, width, height = _HEADER.unpack(header)
            if magic != _MAGIC:
                raise PictureError("is not a .flo file")
            if width < 1 or height < 1 or width * height > MAX_PIXELS:
                raise PictureError(f"claims a size of {width}x{height}")
            if body != width * height * 8:
                raise PictureError(f"has {body} bytes of flow, {width}x{height} need {width * height * 8}")
            flow = np.frombuffer(file.read(), "<f4").reshape(height, width, 2).astype(np.float32)  # (H, W, 2)
    except PictureError as error:
        raise ValueError(f"{printable(path)} {error}") from error
    if not np.isfinite(flow).all():
        raise ValueError(f"{printable(path)} holds values that are not finite")
    if (largest := np.abs(flow).max()) > LARGEST:
        raise ValueError(
            f"{printable(path)} holds a displacement of {largest:.3g} pixels: flow must be known everywhere"
        )
    return flow


def flo_path(root: Path, gap: int, clip_name: str, frame_name: str) -> Path:
    """Return the path of the flow from a frame to the one `gap` frames later; a negative gap looks back."""
    return root / f"Flows_gap{gap}" / clip_name / f"{frame_name}.flo"


def flow_gaps(root: Path, clip_name: str) -> list[int]:
    """Return the gaps at which `root` has a folder with flow of a clip; negative ones look back."""
    found = []
    for path in root.glob("Flows_gap*"):
        number = path.name.removeprefix("Flows_gap")
        if number.removeprefix("-").isdecimal() and any((path / clip_name).glob("*.flo")):
            found.append(int(number))
    return sorted(found)


def no_flow(root: Path, gap: int, clip_name: str, frame_names: Sequence[str]) -> str:
    """Name the first frame that has flow neither forward nor backward; an empty text if every frame has some."""
    for frame in frame_names:
        ahead, back = (flo_path(root, signed, clip_name, frame) for signed in (gap, -gap))
        if not ahead.exists() and not back.exists():
            return f"no flow for gap {gap}: neither {printable(ahead)} nor {printable(back)} exists"
    return ""


def has_flow(root: Path, gap: int, clip_name: str) -> bool:
    """Return whether `root` has any flow of a clip at that gap, forward or backward."""
    return any(flo_path(root, signed, clip_name, "").parent.is_dir() for signed in (gap, -gap))


def read_flow_pairs(
    root: Path, gap: int, clip_name: str, frame_names: Sequence[str]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield forward and backward flow, each f32 (H, W, 2), of every frame in turn.

    If one of them is missing (forward at the clip's end, backward at its start), the other is negated in its place.

    Raises:
        ValueError: if both are missing, if a file cannot be used, or if sizes differ.
    """
    size: tuple[int, ...] | None = None
    for frame in frame_names:
        ahead, back = (flo_path(root, signed, clip_name, frame) for signed in (gap, -gap))
        if lacking := no_flow(root, gap, clip_name, [frame]):
            raise ValueError(lacking)
        forward = read_flo(ahead) if ahead.exists() else -read_flo(back)
        backward = read_flo(back) if back.exists() else -forward
        size = size or forward.shape
        if forward.shape != size or backward.shape != size:
            raise ValueError(
                f"{printable(ahead)} or {printable(back)} is of another size than the flow before"
            )
        yield forward, backward


def flow_content(root: Path, gap: int, clip_name: str, frame_names: Sequence[str]) -> str:
    """Return a digest of the bytes that `read_flow_pairs` would read. Names do not affect it."""
    paths = [[flo_path(root, signed, clip_name, frame) for signed in (gap, -gap)] for frame in frame_names]
    return digest([[file_digest(path) if path.is_file() else None for path in pair] for pair in paths])
