"""The box protocol of MoCA, whose clips carry boxes and no masks: IoU of boxes, as its evaluator draws them.

A frame's predicted box is that of the contour with the largest one; a mask that covers more than half of the
frame's edge is taken to be the background and is inverted first. J is the mean IoU over the annotated frames of a
clip, SR the mean over the thresholds 0.5, 0.6 ... 0.9 of the share of frames with an IoU above it.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from motion_adapt.models.scoring.protocols import NothingToScore, Pair

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)

Box = tuple[int, int, int, int]  # left, top, width, height


def score_boxes(pairs: Iterable[Pair], *, objects: int = 3, clip: str = "") -> tuple[dict[str, float], int]:
    """`J` and `SR` of all objects as one foreground, `J_matched` and `SR_matched` of the best one; frames counted.

    pairs: (annotation u8 (H, W), nonzero inside the box, or None; prediction u8 (H, W)) in frame order. The matched
    object is one for the whole clip, that of the highest J, chosen with the annotation. Raises NothingToScore.
    """
    rows = []
    for truth, prediction in pairs:
        wanted = None if truth is None else largest_box(truth != 0)
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
    """A bool (H, W) mask, inverted where it covers more than half of the frame's edge pixels."""
    edge = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    return ~mask if edge.mean() > 0.5 else mask


def largest_box(mask: np.ndarray) -> Box | None:
    """The largest bounding box of an outer contour of a bool (H, W) mask; None where it is empty."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = [cv2.boundingRect(contour) for contour in contours]
    return max(boxes, key=lambda box: box[2] * box[3], default=None)  # type: ignore[return-value]


def box_iou(first: Box, second: Box | None) -> float:
    """Intersection over union of two boxes; 0 where the second is None."""
    if second is None:
        return 0.0
    across = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    down = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    shared = max(across, 0) * max(down, 0)
    return shared / (first[2] * first[3] + second[2] * second[3] - shared)
