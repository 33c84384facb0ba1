"""Find the frames of a clip that show motion other than the camera's. The others are no basis for proposals.

Flow alone does not tell: estimators invent motion where pictures are dark, noisy, fade in or are cut. So motion counts
only if it explains the pictures clearly better than the camera's affine motion does, apart from a change of brightness.
How clearly depends on the estimator. DIS looks for the motion that explains the pictures best, and finds some in noise:
on the frames of DAVIS it explains them at least 1.5 times as well, on still pictures with noise, pans, zooms, fades and
cuts at most 1.3 times. A network such as RAFT has smoother flow, wider than the object: on the frames of DAVIS it
explains them from 1.07 times as well, across a cut exactly as well, and on the other still pictures it shows no motion.

Noise that was compressed hard (JPEG at quality 10 to 20, low bit rates) is smooth: DIS explains it 1.4 to 1.7 times as
well, in a few frames up to 2.6 times. But what really moves goes on. The flow back is the reverse of the flow ahead in
30 to 100 % of the moving pixels of slow things, in noise in at most 13 %. So weak evidence of slow motion must be
confirmed by the frame on the other side.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from motion_adapt.models.inputs.readable import Readable

LEAST_SHARE = 0.004  # minimum share of moving pixels for a pair in which something moves
# Grey levels: standard deviation of a blurred frame that shows nothing, such as a black one. Up to 2 of it are added by
# rounding to multiples of 4 (models/inputs/rounding.py).
UNIFORM = 2.1
_REVERSE = 0.6  # how far the motion to the other side may be from the reverse, as a share of the motion
_CONFIRMED = 0.2  # minimum share of the moving pixels whose motion to the other side is the reverse
_AT_REST = 0.25  # pixels that move less than this share to the other side rest there, which refutes nothing
_BORDER = 6  # pixels along the border that are not looked at: the camera brings in what the other frame lacks
MOVING, STILL, BLANK = 0, 1, 2  # kinds of frames
_CHUNK = 32  # frames that are read at once


class Evidence(NamedTuple):
    """The thresholds above which something moves. They depend on how the flow was estimated.

    Attributes:
        moves: pixels of 128 x 224 relative to the camera's motion; smaller motions are within the flow's noise.
        better: how many times as well the flow must explain the moving pixels as the camera's motion does.
        weak: evidence is weak if the flow explains them less than this many times as well; 0: never.
        slow: and if it moves them by fewer pixels than this on average.
    """

    moves: float
    better: float
    weak: float = 0.0
    slow: float = 2.0


MATCHED = Evidence(0.5, 1.35, 1.75)  # flow that matches pictures, as DIS does
LEARNT = Evidence(0.25, 1.05)  # flow of a network


def frame_kinds(
    flow: Readable, frames: Readable, gap: int, evidence: Evidence = MATCHED
) -> NDArray[np.uint8]:
    """Return the kind of each frame, u8 (T,): MOVING, STILL, or BLANK if it shows nothing at all.

    A frame is STILL if nothing moves to the frame at +gap nor to the one at -gap. A frame at an end of the clip, which
    has one of them, is STILL if that one is: from there, the same pair can be confirmed.

    Args:
        flow: float (T, 4, H, W), see `models.inputs.flow.stream_flow`.
        frames: u8 (T, H, W, 3) RGB, of the same size.
        gap: distance between the frames of a pair.
        evidence: `LEARNT` for flow of a network.
    """
    count = flow.shape[0]
    kinds = np.full(count, STILL, np.uint8)
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        first = max(start - gap, 0)
        grey = [_grey(frame) for frame in np.asarray(frames[first : min(stop + gap, count)])]
        for index, both in enumerate(np.asarray(flow[start:stop], np.float32), start):
            here = grey[index - first]
            if cv2.blur(here, (9, 9)).std() < UNIFORM:
                kinds[index] = BLANK
                continue
            ahead, back = (side.transpose(1, 2, 0) for side in (both[:2], both[2:]))
            inside = gap <= index < count - gap
            for flows, other in (((ahead, back), index + gap), ((back, ahead), index - gap)):
                if 0 <= other < count and shows_motion(
                    flows[0], here, grey[other - first], evidence, flows[1] if inside else None
                ):
                    kinds[index] = MOVING
                    break
    for index in (*range(min(gap, count)), *range(max(count - gap, 0), count)):
        other = index + gap if index < gap else index - gap
        if evidence.weak and gap <= other < count - gap and kinds[other] == STILL and kinds[index] == MOVING:
            kinds[index] = STILL
    return kinds


def shows_motion(
    flow: np.ndarray,
    here: np.ndarray,
    there: np.ndarray,
    evidence: Evidence = MATCHED,
    opposite: np.ndarray | None = None,
) -> bool:
    """Return whether something moves apart from the camera between two frames.

    Args:
        flow: f32 (H, W, 2) from the first frame to the second, in pixels.
        here: the first frame, grey f32 (H, W) in [0, 255].
        there: the second frame, likewise.
        evidence: thresholds for flow of this kind.
        opposite: flow from the first frame to the one on its other side, which confirms weak evidence; None if there is
            no such frame.
    """
    height, width = here.shape
    rest = without_camera(flow).astype(np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    seen = np.zeros((height, width), np.bool_)
    seen[_BORDER:-_BORDER, _BORDER:-_BORDER] = True
    carried = []
    for motion in (flow, flow - rest):  # all of it, and the camera's alone
        columns, rows = x + motion[..., 0], y + motion[..., 1]
        seen &= (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
        carried.append(cv2.remap(there, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    moving = seen & (np.linalg.norm(rest, axis=-1) > evidence.moves)
    if not moving.any() or moving.sum() < LEAST_SHARE * seen.sum():
        return False
    by_flow, by_camera = (_difference(here, picture, seen)[moving].mean() for picture in carried)
    if by_camera <= evidence.better * by_flow:
        return False
    speed = np.linalg.norm(rest, axis=-1)[moving].mean()
    if opposite is None or by_camera >= evidence.weak * by_flow or speed >= evidence.slow:
        return True
    return _goes_on(rest, without_camera(opposite).astype(np.float32), moving)


def _goes_on(rest: np.ndarray, opposite: np.ndarray, moving: NDArray[np.bool_]) -> bool:
    """Return whether pixels move on, or rest, to the other side; `rest` and `opposite` are f32 (H, W, 2)."""
    if np.square(opposite)[moving].sum() < _AT_REST**2 * np.square(rest)[moving].sum():
        return True
    apart, motion = (cv2.blur(np.square(field).sum(axis=-1), (9, 9)) for field in (rest + opposite, rest))
    return bool((apart < _REVERSE**2 * motion)[moving].mean() >= _CONFIRMED)


def stretches(marks: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the runs of True in bool (T,) as (first, last) frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]]).astype(np.int8)))
    return [(int(first), int(stop) - 1) for first, stop in edges.reshape(-1, 2)]


def without_camera(flow: np.ndarray) -> np.ndarray:
    """Subtract the dominant affine motion from flow f32 (H, W, 2). Returns f64 (H, W, 2).

    The fit is least squares on every fourth row and column, repeated twice on the half that fits best. Objects that
    cover less than half of the frame therefore do not distort it.
    """
    height, width, _ = flow.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    places = np.stack([np.ones_like(x), x, y], axis=-1)  # (H, W, 3)
    design = places[::4, ::4].reshape(-1, 3)  # (n, 3)
    target = flow[::4, ::4].reshape(-1, 2).astype(np.float64)  # (n, 2)
    kept = np.ones(len(design), bool)
    for _ in range(3):
        affine = np.linalg.lstsq(design[kept], target[kept], rcond=None)[0]  # (3, 2)
        distance = np.linalg.norm(target - design @ affine, axis=1)
        kept = distance <= np.median(distance)
    return np.asarray(flow - places @ affine)  # (H, W, 2)


def _grey(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _difference(here: np.ndarray, picture: np.ndarray, seen: NDArray[np.bool_]) -> np.ndarray:
    """Return |here - picture|, f32 (H, W), after fitting brightness and contrast of `picture` to the seen pixels."""
    a, b = picture[seen], here[seen]
    spread = float(np.square(a - a.mean()).sum())
    gain = float(((a - a.mean()) * (b - b.mean())).sum()) / spread if spread > 0 else 0.0
    return np.abs(here - b.mean() - gain * (picture - a.mean()))
