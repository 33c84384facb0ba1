"""The evaluation protocols of section 4.1: which frames and objects of a clip count, using `models.scoring.metrics`.

    union      all objects together are the one foreground       DAVIS 2016 rule, label-free
    matched    the channel that fits the annotation best         DAVIS 2016 rule, chosen with the annotation
    objects    each object with its own proposal, by assignment  DAVIS 2017 unsupervised rule

Papers on DAVIS 2016 report the number that is called `matched` here: one channel for the whole clip, chosen with the
ground truth. A run without labels cannot do that, so its honest single-object number is `union`.

A clip is an iterable of (annotation, prediction) label maps in frame order, which is read once, frame by frame. The
annotation is None in frames without one; these are not scored.

Annotations hold 0 for the background, other ids for objects and 255 for void: pixels that nobody labelled, which count
nowhere. The annotations of DAVIS 2016 know no void. Their one object is stored as 255, which `storage.formats` reads
as 1.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from motion_adapt.models.scoring.metrics import (
    Contour,
    Statistics,
    binary,
    contour_f,
    jaccard,
    statistics,
    tolerance,
)
from motion_adapt.models.scoring.pairing import best_pairs

VOID = 255
MAX_PROPOSALS = 20

Pair = tuple[np.ndarray | None, np.ndarray]


class NothingToScore(ValueError):
    """No frame of a clip counts. Such a clip is reported, but left out of averages."""


@dataclass(frozen=True)
class ObjectScore:
    """J and F of one annotated object, frame by frame."""

    object: int  # its id in the annotation; 1 in the single-object protocols
    proposal: int  # the predicted id that it was scored with; 0 for the union or for an added empty proposal
    J: np.ndarray = field(repr=False)  # f64 (frames that count,)
    F: np.ndarray = field(repr=False)

    @property
    def region(self) -> Statistics:
        """Mean, recall and decay of J."""
        return statistics(self.J)

    @property
    def contour(self) -> Statistics:
        """Mean, recall and decay of F."""
        return statistics(self.F)


@dataclass(frozen=True)
class ClipScore:
    """The scores of one clip under one protocol."""

    clip: str
    protocol: str
    frames: tuple[int, ...]  # which frames counted
    objects: tuple[ObjectScore, ...]
    late: tuple[
        int, ...
    ] = ()  # annotated ids that are not scored because they appear too late, see `score_objects`


def score_union(pairs: Iterable[Pair], *, clip: str = "", skip_ends: bool = True) -> ClipScore:
    """Score all predicted objects as one foreground against all annotated ones.

    Args:
        pairs: (annotation, prediction) of each frame in order.
        clip: name of the clip.
        skip_ends: whether to leave out the first and last frame of the clip (DAVIS 2016); False for data sets that
            count all annotated frames.

    Raises:
        NothingToScore: no frame is left.
        ValueError: annotation and prediction have different sizes, or the annotations hold 255 and no object.
    """
    return _score_single(pairs, None, clip=clip, skip_ends=skip_ends)


def score_matched(
    pairs: Iterable[Pair], *, objects: int = 3, clip: str = "", skip_ends: bool = True
) -> ClipScore:
    """Score the predicted id of 1..`objects` with the best J over the frames that count. Ties go to the lower id.

    The choice uses the annotation, so this is never part of a label-free result. Otherwise it is like `score_union`.
    """
    return _score_single(pairs, objects, clip=clip, skip_ends=skip_ends)


def score_objects(pairs: Iterable[Pair], *, clip: str = "") -> ClipScore:
    """Score each annotated object with its own proposal: the DAVIS 2017 unsupervised multi-object protocol.

    The objects are the ids that occur, up to the largest id of the first annotated frame; larger ids in later frames
    are background, and are listed as `late`. Predictions hold ids 1..P, P at most 20, with one id per object
    throughout. Every annotated frame counts, including the first and last. The assignment of proposals to objects
    maximises the mean of J and F over the clip. Surplus proposals are not penalised; missing ones are empty.
    """
    frames: list[int] = []
    rows: list[np.ndarray] = []
    count, largest = 0, 0
    occurs = np.zeros(256, np.bool_)  # by id
    for index, truth, prediction in _scored(pairs, clip, skip_ends=False):
        if not frames:
            count = int(truth.max(initial=0, where=truth != VOID))
            if not count:
                raise NothingToScore(f"{clip}: no object in frame {index}, the first annotated one")
        largest = max(largest, _largest_id(prediction, MAX_PROPOSALS, clip, index))
        occurs |= _histogram(truth) > 0
        frames.append(index)
        rows.append(_score_labels(truth, prediction, count, MAX_PROPOSALS))
    ids = [int(label) for label in np.flatnonzero(occurs) if label not in (0, VOID)]
    scored = [label for label in ids if label <= count]
    proposals = [*range(1, largest + 1), *[0] * max(len(scored) - largest, 0)]
    scores = np.stack(rows)[:, :, [label - 1 for label in scored]][..., proposals]  # (frames, 2, N, P)
    chosen = best_pairs(scores.mean(axis=(0, 1)))[1]
    found = tuple(
        ObjectScore(scored[k], proposals[p], J=scores[:, 0, k, p], F=scores[:, 1, k, p])
        for k, p in enumerate(chosen)
    )
    return ClipScore(clip, "objects", tuple(frames), found, tuple(ids[len(scored) :]))


def averages(clips: Sequence[ClipScore]) -> dict[str, float]:
    """Average J, F, their recall and decay, and JF over the objects of all clips, independent of clip length."""
    objects = [found for score in clips for found in score.objects]
    if not objects:
        raise NothingToScore("no clip was scored")
    table: dict[str, float] = {}
    for name, rows in (("J", [o.region for o in objects]), ("F", [o.contour for o in objects])):
        mean, recall, decay = np.mean(rows, axis=0)
        table |= {name: float(mean), f"{name}_recall": float(recall), f"{name}_decay": float(decay)}
    table["JF"] = (table["J"] + table["F"]) / 2
    return table


def _score_single(pairs: Iterable[Pair], channels: int | None, *, clip: str, skip_ends: bool) -> ClipScore:
    """Score one annotated foreground against the union (`channels` is None) or against the best channel."""
    frames: list[int] = []
    rows: list[np.ndarray] = []
    for index, truth, prediction in _scored(_with_objects(pairs, clip), clip, skip_ends=skip_ends):
        if channels is None:
            prediction = binary(prediction)
        else:
            _largest_id(prediction, channels, clip, index)
        frames.append(index)
        rows.append(_score_labels(one_foreground(truth), prediction, 1, channels or 1))
    scores = np.stack(rows)[:, :, 0, 1:]  # (frames, 2, channels)
    best = int(scores[:, 0].mean(axis=0).argmax())
    chosen = ObjectScore(1, 0 if channels is None else best + 1, J=scores[:, 0, best], F=scores[:, 1, best])
    return ClipScore(clip, "union" if channels is None else "matched", tuple(frames), (chosen,))


def one_foreground(truth: np.ndarray) -> np.ndarray:
    """Return a label map u8 (H, W) with every object as 1; background and void stay."""
    return np.where(truth == VOID, truth, binary(truth))


def _with_objects(pairs: Iterable[Pair], clip: str) -> Iterator[Pair]:
    """Yield all pairs; raise at the end if the annotations hold void and nothing else, which would score 1."""
    void = objects = False
    for truth, prediction in pairs:
        if truth is not None and not objects:
            labels = truth[truth != 0]
            void, objects = void or VOID in labels, bool((labels != VOID).any())
        yield truth, prediction
    if void and not objects:
        raise ValueError(
            f"{clip}: the annotations hold {VOID}, which is void, and no object; wanted objects as 1, 2, ..."
        )


def _score_labels(truth: np.ndarray, prediction: np.ndarray, objects: int, proposals: int) -> np.ndarray:
    """Compute J and F, f64 (2, objects, 1 + proposals), of annotated ids with an empty mask and every predicted id."""
    if VOID in truth:
        prediction = np.where(truth == VOID, np.uint8(0), prediction)
    radius = tolerance(*truth.shape)
    areas = _histogram(prediction)
    empty = Contour.of(np.zeros_like(prediction), radius)
    contours = {p: Contour.of(binary(prediction == p), radius) for p in range(1, proposals + 1) if areas[p]}
    scores = np.empty((2, objects, 1 + proposals))
    areas[0] = 0  # of the empty mask
    for k in range(1, objects + 1):
        mask = binary(truth == k)
        area, shared = cv2.countNonZero(mask), _histogram(prediction, mask)
        contour, shared[0] = Contour.of(mask, radius) if area else empty, 0
        for p in range(proposals + 1):
            scores[0, k - 1, p] = jaccard(shared[p], area + areas[p] - shared[p])
            scores[1, k - 1, p] = contour_f(contour, contours.get(p, empty))
    return scores


def _histogram(labels: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Count the pixels of each label 0..255, in total or inside a mask, i64 (256,)."""
    return cv2.calcHist([labels], [0], mask, [256], [0, 256]).ravel().astype(np.int64)


def check_pair(truth: np.ndarray, prediction: np.ndarray, clip: str, index: int) -> None:
    """Check the annotation and the prediction of a frame.

    Raises:
        ValueError: one of them is no label map, or they have different sizes.
    """
    for name, labels in (("annotation", truth), ("prediction", prediction)):
        if labels.ndim != 2 or labels.dtype not in (np.uint8, bool):
            raise ValueError(
                f"{clip}, frame {index}: {name}: wanted a label map u8 (H, W), "
                f"got {labels.dtype} {labels.shape}"
            )
    if truth.shape != prediction.shape:
        raise ValueError(
            f"{clip}, frame {index}: the annotation is {truth.shape[1]}x{truth.shape[0]} pixels, "
            f"the prediction {prediction.shape[1]}x{prediction.shape[0]}"
        )


def _scored(
    pairs: Iterable[Pair], clip: str, *, skip_ends: bool
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Check and yield the frames that count: (frame index, annotation u8 (H, W), prediction u8 (H, W))."""
    anything = False
    counting = enumerate(pairs)
    for index, (truth, prediction) in _interior(counting) if skip_ends else counting:
        if truth is None:
            continue
        check_pair(truth, prediction, clip, index)
        anything = True
        yield index, np.ascontiguousarray(truth, np.uint8), np.ascontiguousarray(prediction, np.uint8)
    if not anything:
        rule = " once its first and last frame are skipped" if skip_ends else ""
        raise NothingToScore(f"{clip}: no annotated frame to score{rule}")


def _interior(items: Iterable[tuple[int, Pair]]) -> Iterator[tuple[int, Pair]]:
    """Yield all items except the first and the last, holding one back."""
    held = None
    for index, item in items:
        if held is not None and held[0] > 0:
            yield held
        held = (index, item)


def _largest_id(prediction: np.ndarray, limit: int, clip: str, index: int) -> int:
    largest = int(prediction.max(initial=0))
    if largest > limit:
        raise ValueError(f"{clip}, frame {index}: prediction: wanted object ids up to {limit}, got {largest}")
    return largest
