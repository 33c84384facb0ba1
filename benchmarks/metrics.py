"""Measure scoring speed: `models.scoring.protocols` against a literal implementation of the rules.

    python benchmarks/metrics.py [--frames 20] [--height 480] [--width 854]

The plain version computes both boundaries and both dilations over the whole frame for every object, proposal and frame.
Both versions get the same clip of moving blobs and must give the same numbers. Each row of the table is one protocol.
CPU time is measured, on one thread, so that other work on the machine has little effect.
"""

import argparse
import math
import time

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from motion_adapt.models.scoring.protocols import averages, score_objects, score_union


def plain_boundary(mask):
    right, down, diagonal = np.zeros_like(mask), np.zeros_like(mask), np.zeros_like(mask)
    right[:, :-1], down[:-1], diagonal[:-1, :-1] = mask[:, 1:], mask[1:], mask[1:, 1:]
    edges = (mask ^ right) | (mask ^ down) | (mask ^ diagonal)
    edges[-1] = mask[-1] ^ right[-1]
    edges[:, -1] = mask[:, -1] ^ down[:, -1]
    edges[-1, -1] = False
    return edges


def plain_scores(truth, mask):
    union = (truth | mask).sum()
    region = (truth & mask).sum() / union if union else 1.0
    radius = math.ceil(0.008 * math.hypot(*truth.shape))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (y**2 + x**2 <= radius**2).astype(np.uint8)
    truth_edge, mask_edge = plain_boundary(truth), plain_boundary(mask)
    truth_reach = cv2.dilate(truth_edge.astype(np.uint8), disk) > 0
    mask_reach = cv2.dilate(mask_edge.astype(np.uint8), disk) > 0
    if not truth_edge.any() or not mask_edge.any():
        return region, float(truth_edge.any() == mask_edge.any())
    precision = (mask_edge & truth_reach).sum() / mask_edge.sum()
    recall = (truth_edge & mask_reach).sum() / truth_edge.sum()
    return region, 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def plain_union(truths, predictions):
    return np.mean([plain_scores(t > 0, p > 0) for t, p in zip(truths[1:-1], predictions[1:-1], strict=True)])


def plain_objects(truths, predictions, objects, proposals):
    table = np.array(
        [
            [[plain_scores(t == k, p == q) for q in range(1, proposals + 1)] for k in range(1, objects + 1)]
            for t, p in zip(truths, predictions, strict=True)
        ]
    ).mean(axis=(0, 3))
    return table[linear_sum_assignment(table, maximize=True)].mean()


def wandering_blobs(frames, height, width, count, seed):
    rng = np.random.default_rng(seed)
    centres, speeds = rng.random((count, 2)), rng.normal(0, 0.01, (count, 2))
    labels = np.zeros((frames, height, width), np.uint8)
    for index, frame in enumerate(labels):
        for k in range(count):
            y, x = (centres[k] + index * speeds[k]) * (height, width)
            radii = (int(width * (0.04 + 0.01 * (k % 5))), int(height * (0.08 + 0.02 * (k % 3))))
            cv2.ellipse(frame, (int(x), int(y)), radii, 17.0 * k, 0, 360, k + 1, -1)
    return labels


def timed(function, repeats=3):
    best = math.inf
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        best = min(best, time.process_time() - start)
    return best, result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=854)
    options = parser.parse_args()
    if options.frames < 3:
        parser.error("--frames: wanted at least 3, since `union` leaves out the first and the last")
    cv2.setNumThreads(1)
    size = (options.frames, options.height, options.width)
    truths = wandering_blobs(*size, count=3, seed=1)
    print("| protocol | objects x proposals | plain ms/frame | here ms/frame | ratio |")
    print("|---|---|---|---|---|")
    for proposals in (0, 3, 20):
        if not proposals:
            predictions = wandering_blobs(*size, count=4, seed=1)
            plain, wanted = timed(lambda p=predictions: plain_union(truths, p))
            here, got = timed(lambda p=predictions: averages([score_union(zip(truths, p, strict=True))]))
            name, shape = "union", "1 x 1"
        else:
            predictions = wandering_blobs(*size, count=proposals, seed=1)
            plain, wanted = timed(
                lambda p=predictions, n=proposals: plain_objects(truths, p, 3, n), repeats=1
            )
            here, got = timed(lambda p=predictions: averages([score_objects(zip(truths, p, strict=True))]))
            name, shape = "objects", f"3 x {proposals}"
        if abs(got["JF"] - wanted) > 1e-9:
            raise SystemExit(f"{name}: the two versions disagree: {got['JF']} and {wanted}")
        per_frame = 1000 / options.frames
        print(f"| {name} | {shape} | {plain * per_frame:.2f} | {here * per_frame:.2f} | {plain / here:.1f} |")


if __name__ == "__main__":
    main()
