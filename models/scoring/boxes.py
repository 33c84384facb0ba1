"""The box protocol of MoCA, whose clips are annotated with boxes instead of masks: IoU of boxes, as in its evaluator.

A frame's predicted box is the largest bounding box of a contour. A mask that covers more than half of the frame's edge
is assumed to be the background and is inverted first. J is the mean IoU over the annotated frames of a clip. SR is the
share of frames with an IoU above a threshold, averaged over the thresholds 0.5, 0.6 ... 0.9.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from motion_adapt.models.scoring.protocols import NothingToScore, Pair, check_pair

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)

Box = tuple[int, int, int, int]  # left, top, width, height


def score_boxes(pairs: Iterable[Pair], *, objects: int = 3, clip: str = "") -> tuple[dict[str, float], int]:
    """Score the predicted boxes of a clip.

    Args:
        pairs: (annotation, prediction) of each frame in order. An annotation is u8 (H, W), nonzero inside the box, or
            None. A prediction is u8 (H, W).
        objects: number of predicted objects.
        clip: name of the clip, for the error message.

    Returns:
        The scores and the number of scored frames. `J` and `SR` treat all objects as one foreground. `J_matched` and
        `SR_matched` are those of the object with the highest J over the whole clip, chosen with the annotation.

    Raises:
        NothingToScore: no frame has a box.
        ValueError: annotation and prediction have different sizes.
    """
    rows = []
    for index, (truth, prediction) in enumerate(pairs):
        if truth is None:
            continue
        check_pair(truth, prediction, clip, index)
        wanted = largest_box(truth != 0)
        if wanted is None:
            continue
        channels = [prediction != 0, *(prediction == label for label in range(1, objects + 1))]
        rows.append([box_iou(wanted, largest_box(foreground(channel))) for channel in channels])
    if not rows:
        raise NothingToScore(f"{clip}: no frame with a box to score")
    ious = np.array(rows)  # (frames, 1 + objects)
    best = 1 + int(ious[:, 1:].mean(axis=0).argmax())
    scores = {}
    for suffix, channel in (("", 0), ("_matched", best)):
        scores[f"J{suffix}"] = float(ious[:, channel].mean())
        above = [(ious[:, channel] > threshold).mean() for threshold in THRESHOLDS]
        scores[f"SR{suffix}"] = float(np.mean(above))
    return scores, len(rows)


def foreground(mask: np.ndarray) -> np.ndarray:
    """Return a bool (H, W) mask, inverted if it covers more than half of the frame's edge pixels."""
    edge = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    return ~mask if edge.mean() > 0.5 else mask


def largest_box(mask: np.ndarray) -> Box | None:
    """Return the largest bounding box of an outer contour of a bool (H, W) mask, or None if the mask is empty."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = [cv2.boundingRect(contour) for contour in contours]
    return max(boxes, key=lambda box: box[2] * box[3], default=None)  # type: ignore[return-value]


def box_iou(first: Box, second: Box | None) -> float:
    """Return the intersection over union of two boxes, or 0 if the second is None."""
    if second is None:
        return 0.0
    across = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    down = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    shared = max(across, 0) * max(down, 0)
    return shared / (first[2] * first[3] + second[2] * second[3] - shared)
