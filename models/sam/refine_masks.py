"""Refine the masks of one frame with a Segment Anything model, at the frame's own size (paper A.3, C.4).

Each object is segmented by itself, prompted by its mask. A model may jump to a part of the object or to something else.
So its answer counts only if it overlaps with the mask that asked for it; otherwise the object keeps that mask.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motion_adapt.models.sam.asking import Asking, Output
from motion_adapt.models.sam.prompts import SURE, prompt_of
from motion_adapt.models.sam.segmenter import Segmenter
from motion_adapt.models.scoring.protocols import VOID


@dataclass(frozen=True)
class Refined:
    """The masks of one frame after refinement.

    Attributes:
        labels: u8 (H, W), 0 is the background.
        asked: number of objects with a mask in this frame.
        kept: number of those whose answer was not taken.
    """

    labels: NDArray[np.uint8]
    asked: int
    kept: int


def refine_frame(
    segmenter: Segmenter, frame: NDArray[np.uint8], labels: NDArray[np.uint8], asking: Asking
) -> Refined:
    """Refine the masks of a frame. An object without a mask stays without one.

    Args:
        segmenter: the model.
        frame: u8 (H, W, 3) RGB.
        labels: u8 (H, W), 0 is the background and 255 is void; every other value is an object.
        asking: how the model is asked.

    Raises:
        ValueError: frame and labels have different sizes.
    """
    if labels.shape != frame.shape[:2] or labels.dtype != np.uint8:
        raise ValueError(
            f"labels: wanted u8 {frame.shape[:2]} like the frame, got {labels.dtype} {labels.shape}"
        )
    objects = objects_of(labels)
    if not objects:
        return Refined(np.zeros_like(labels), 0, 0)
    view = segmenter.look(frame)

    def answers() -> Iterable[tuple[int, NDArray[np.float32]]]:
        for label in objects:
            mask = labels == label
            prompt = prompt_of(mask, asking.prompt, asking.points)
            logits, scores = segmenter.answer(view, prompt, several=asking.output != "single")
            yield label, choose(logits, scores, mask, asking.output)

    return settle(labels, answers(), asking.least_iou)


def objects_of(labels: NDArray[np.uint8]) -> list[int]:
    """Return the labels of the objects in a frame, in ascending order."""
    return [int(label) for label in np.unique(labels) if label not in (0, VOID)]


def choose(
    logits: NDArray[np.float32], scores: NDArray[np.float32], mask: NDArray[np.bool_], output: Output
) -> NDArray[np.float32]:
    """Return one of the candidates f32 (C, H, W), whose predicted IoUs are `scores`; the first of equal ones."""
    if output == "closest":
        return logits[int(np.argmax([iou(candidate > 0, mask) for candidate in logits]))]
    return logits[int(scores.argmax())]


def settle(
    labels: NDArray[np.uint8],
    answers: Iterable[tuple[int, NDArray[np.float32] | None]],
    least_iou: float,
) -> Refined:
    """Make disjoint masks of the objects' answers, which are read one at a time.

    An object keeps its mask if the answer's IoU with it is below `least_iou`. A pixel that several objects claim goes
    to the one with the highest logit, and to the first of equal ones. A mask that is kept has a logit of 10.

    Args:
        labels: u8 (H, W), the masks that the answers are compared with.
        answers: label and logits f32 (H, W) of each object; None for one that was not asked about and keeps its mask.
        least_iou: between 0 and 1.
    """
    settled, best = np.zeros_like(labels), np.zeros(labels.shape, np.float32)
    asked = kept = 0
    for label, logits in answers:
        mask = labels == label
        asked += logits is not None
        if logits is not None and iou(logits > 0, mask) < least_iou:
            kept += 1
            logits = None
        if logits is None:
            logits = np.where(mask, np.float32(SURE), np.float32(-SURE))
        claimed = logits > best
        settled[claimed], best[claimed] = label, logits[claimed]
    return Refined(settled, asked, kept)


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the intersection over union of two masks; 1 if both are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0
