"""Follow edges: average the probabilities of nearby pixels that look alike and move alike.

The networks' masks are smooth, and their borders are a few pixels off. Nearby pixels of one colour mostly belong to one
thing, and so do pixels that move alike. Averaging over such pixels moves the border of a mask to where colour or motion
changes. It follows Araslanov and Roth, "Single-Stage Semantic Segmentation from Image Labels" (CVPR 2020), with fixed
spreads, with motion in addition to colour, and with the frame's own probabilities in every iteration.

It is done twice around the objects: at the working resolution, and at twice that size, where frames show what the
working resolution hides.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from motion_adapt.models.inputs.readable import Readable, pieces

DISTANCES = (1, 2, 4, 8, 12)  # of the neighbours, in pixels, along rows, columns and diagonals
FINE = 2  # times the working resolution
FINE_DISTANCES = (1, 2, 4)  # the borders are near already
_MARGIN = 24  # pixels around the objects, which show the ground that their borders are told from
_SURE = 0.1  # probability of an object below which a pixel does not show it, whatever is around
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))  # the opposite ones follow from these
Cut = tuple[slice, slice]  # a part of a frame
_CHUNK = 8  # frames read at once, native ones too


class NeighbourPairs(NamedTuple):
    """All pairs of neighbours at one distance in one direction.

    `first` and `second` cut out the pixels of either side; `alike` f32 says in [0, 1] how alike the two of a pair are.
    """

    first: Cut
    second: Cut
    alike: NDArray[np.float32]


def follow_edges(
    rgb: Readable,
    flow: Readable,
    probabilities: Readable,
    *,
    gap: int = 1,
    fixed: NDArray[np.bool_] | None = None,
    known: Mapping[int, NDArray[np.float32]] = MappingProxyType({}),
    **how: float,
) -> Iterator[NDArray[np.float32]]:
    """Average the probabilities around the objects of every frame over nearby pixels that look and move alike.

    Args:
        rgb: u8 (T, H, W, 3).
        flow: float (T, 4, H, W), from frame i to i + gap and from i to i - gap, in pixels of H x W.
        probabilities: float (T, K, H, W) in [0, 1].
        gap: the flow's gap in frames.
        fixed: bool (T,), the frames that keep their probabilities. None means that there are none.
        known: what `choose_threshold` has found for some of the frames already, by index.
        how: iterations, colour, motion (in pixels per frame) and own, as for `follow_edges_of_frame`.

    Yields:
        f32 (K, H, W) in [0, 1], of every frame in order.
    """
    kept = np.zeros(rgb.shape[0], np.bool_) if fixed is None else fixed
    for index, (frame, ahead, given) in enumerate(_frames(rgb, flow, probabilities, gap)):
        if index in known:
            yield known[index]
        else:
            yield given if kept[index] else _around_objects(frame, ahead, given, **how)


def follow_fine_edges(
    native: Readable, flow: Readable, probabilities: Readable, *, gap: int = 1, **how: float
) -> Iterator[NDArray[np.float32]]:
    """Yield what `follow_fine_edges_of_frame` finds in every frame of a clip, f32 (K, 2 H, 2 W), in order.

    Args:
        native: the frames at their own size, u8 (T, H', W', 3).
        flow: as for `follow_edges`, and so are `probabilities` and `gap`.
        how: iterations, colour, motion and own, as for `follow_edges_of_frame`.
    """
    for frame, ahead, given in _frames(native, flow, probabilities, gap):
        yield follow_fine_edges_of_frame(frame, ahead, given, **how)


def _frames(
    rgb: Readable, flow: Readable, probabilities: Readable, gap: int
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]]:
    """Yield every frame of a clip with its flow per frame and its probabilities."""
    for piece in pieces(rgb, flow, probabilities, chunk=_CHUNK):
        for frame, motion, given in zip(*piece, strict=True):
            yield frame, motion[:2].astype(np.float32) / gap, given.astype(np.float32)


def follow_edges_of_frame(
    rgb: NDArray[np.uint8],
    flow: NDArray[np.floating],
    probabilities: NDArray[np.float32],
    *,
    iterations: int = 20,
    colour: float = 0.04,
    motion: float = 0.7,
    own: float = 0.5,
    distances: Sequence[int] = DISTANCES,
) -> NDArray[np.float32]:
    """Average the probabilities of one frame over nearby pixels that look and move alike.

    An iteration gives every pixel (own * P0 + sum of a P) / (own + sum of a) over its neighbours. P0 is the
    probability given, P the neighbour's so far, and a = exp(-d^2 / (2 colour^2) - m^2 / (2 motion^2)) for the
    distances d of their colours and m of their flow.

    Args:
        rgb: u8 (H, W, 3).
        flow: float (2, H, W), in pixels.
        probabilities: f32 (K, H, W) in [0, 1].
        iterations: number of iterations.
        colour: spread of colours, of which each channel has the range 0 to 1.
        motion: spread of the flow in pixels.
        own: weight of the probability given. A neighbour's is at most 1.
        distances: of the neighbours in pixels; there are eight at each.

    Returns:
        f32 (K, H, W) in [0, 1].

    Raises:
        ValueError: the shapes differ, or a parameter is out of range.
    """
    size = probabilities.shape[1:]
    if rgb.shape != (*size, 3) or flow.shape != (2, *size):
        raise ValueError(
            f"wanted a frame and a flow of {size} like the masks, got {rgb.shape} and {flow.shape}"
        )
    if iterations < 0 or min(colour, motion, own) <= 0:
        raise ValueError(
            "wanted 0 or more iterations, and spreads and a weight above 0, got "
            f"{iterations}, {colour}, {motion} and {own}"
        )
    present = probabilities.reshape(len(probabilities), -1).any(axis=1)
    found = probabilities.copy()
    if present.any():
        pairs = list(neighbour_pairs(rgb, flow, distances, colour=colour, motion=motion))
        found[present] = _averaged(probabilities[present], pairs, iterations, own)
    return found


def follow_fine_edges_of_frame(
    native: NDArray[np.uint8],
    flow: NDArray[np.floating],
    probabilities: NDArray[np.float32],
    **how: float,
) -> NDArray[np.float32]:
    """Enlarge the probabilities of one frame, and average them as `follow_edges_of_frame` does, around the objects.

    Args:
        native: the frame at its own size, u8 (H', W', 3), which is larger than H x W.
        flow: float (2, H, W), in pixels of H x W per frame.
        probabilities: f32 (K, H, W) in [0, 1].
        how: iterations, colour, motion and own, as for `follow_edges_of_frame`.

    Returns:
        f32 (K, 2 H, 2 W) in [0, 1].
    """
    height, width = (FINE * side for side in probabilities.shape[1:])
    rgb = np.asarray(cv2.resize(native, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    motion = np.stack([_enlarged(part, height, width, cv2.INTER_LINEAR) for part in flow])
    found = np.stack([_enlarged(part, height, width, cv2.INTER_CUBIC) for part in probabilities]).clip(0, 1)
    return _around_objects(rgb, motion, found, distances=FINE_DISTANCES, **how)


def _enlarged(image: NDArray[np.floating], height: int, width: int, how: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(image.astype(np.float32), (width, height), interpolation=how), np.float32)


def _around_objects(
    rgb: NDArray[np.uint8], flow: NDArray[np.floating], probabilities: NDArray[np.float32], **how: Any
) -> NDArray[np.float32]:
    """Do `follow_edges_of_frame` in a box around the objects; other pixels keep their probabilities."""
    left, top, width, height = cv2.boundingRect((probabilities.max(axis=0) > _SURE).astype(np.uint8))
    if not width:
        return probabilities
    rows = slice(max(top - _MARGIN, 0), top + height + _MARGIN)
    columns = slice(max(left - _MARGIN, 0), left + width + _MARGIN)
    found = probabilities.copy()
    found[:, rows, columns] = follow_edges_of_frame(
        rgb[rows, columns], flow[:, rows, columns], probabilities[:, rows, columns], **how
    )
    return found


def neighbour_pairs(
    rgb: NDArray[np.uint8],
    flow: NDArray[np.floating],
    distances: Sequence[int],
    *,
    colour: float,
    motion: float,
) -> Iterator[NeighbourPairs]:
    """Yield the pairs of neighbours of a frame, and how alike they are: the a of `follow_edges_of_frame`.

    Args:
        rgb: u8 (H, W, 3).
        flow: float (2, H, W), in pixels.
        distances: of the neighbours in pixels; there are eight at each.
        colour: spread of colours, of which each channel has the range 0 to 1.
        motion: spread of the flow in pixels.
    """
    parts = [rgb.transpose(2, 0, 1) / np.float32(255 * colour), flow / np.float32(motion)]
    seen = np.concatenate(parts).astype(np.float32)
    height, width = seen.shape[1:]
    for distance in distances:
        for down, right in DIRECTIONS:
            rows, columns = down * distance, right * distance
            first = _part(height, -rows), _part(width, -columns)
            second = _part(height, rows), _part(width, columns)
            apart = ((seen[:, *first] - seen[:, *second]) ** 2).sum(axis=0)
            yield NeighbourPairs(first, second, np.exp(-apart / 2))


def _part(length: int, step: int) -> slice:
    """Return the places of an axis that remain if the first `step` are left out, or the last ones if it is negative."""
    return slice(step, None) if step >= 0 else slice(None, max(length + step, 0))


def _averaged(
    given: NDArray[np.float32], pairs: list[NeighbourPairs], iterations: int, own: float
) -> NDArray[np.float32]:
    # PyTorch multiplies and adds in one pass, which halves the time. So do views that are made once.
    start = own * torch.from_numpy(given)
    weights = torch.full(given.shape[1:], own, dtype=torch.float32)
    alike = [torch.from_numpy(pair.alike) for pair in pairs]
    for pair, share in zip(pairs, alike, strict=True):
        weights[pair.first] += share
        weights[pair.second] += share
    found, total = torch.from_numpy(given.copy()), torch.empty_like(start)
    sides = [[(clip[:, *pair.first], clip[:, *pair.second]) for pair in pairs] for clip in (found, total)]
    for _ in range(iterations):
        total.copy_(start)
        for (first, second), (to_first, to_second), share in zip(*sides, alike, strict=True):
            to_first.addcmul_(share, second)
            to_second.addcmul_(share, first)
        total /= weights
        found, total, sides = total, found, sides[::-1]
    return found.numpy()
