"""Measure masks carried to the frames in between (`--fill`): J against annotations, on clips with labels.

    python benchmarks/filling.py DAVIS [--clips dog car-shadow drift-straight] [--every 2 4]

The frames that are taken have their annotation as mask, so the table shows what carrying alone loses. Only the frames
in between are scored. For comparison, each of them gets a copy of the mask of the nearest frame that is taken. Nothing
is trained here.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from davis_clip import read_clip

from motion_adapt.models.inference.filling import fill_between
from motion_adapt.models.inputs.flow import flow_estimator
from motion_adapt.models.scoring.metrics import region_similarity


def check_step(name: str, count: int, step: int) -> None:
    """Check that a clip of `count` frames has frames between those that are taken.

    Raises:
        SystemExit: it has none.
    """
    if not 2 <= step < count:
        raise SystemExit(
            f"--every {step}: {name} has {count} frames, and none in between; wanted 2 to {count - 1}"
        )


def measure(frames: np.ndarray, truth: np.ndarray, step: int) -> tuple[int, float, float, float]:
    """Return the number of frames in between, the mean J of carried and of copied masks, and seconds per frame."""
    count = (len(frames) - 1) // step * step + 1
    began = time.process_time()
    filled = list(
        fill_between(frames[:count], truth[:count:step], step=step, estimator=flow_estimator("dis"))
    )
    between = [index for index in range(count) if index % step]
    seconds = (time.process_time() - began) / len(between)
    carried = [region_similarity(truth[index] > 0, filled[index] > 0) for index in between]
    nearest = [truth[(index + step // 2) // step * step] for index in between]
    copied = [
        region_similarity(truth[index] > 0, mask > 0) for index, mask in zip(between, nearest, strict=True)
    ]
    return len(between), float(np.mean(carried)), float(np.mean(copied)), seconds


def main() -> None:
    """Print a row per clip and step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--clips", nargs="+", default=["dog", "car-shadow", "drift-straight"])
    parser.add_argument("--every", nargs="+", type=int, default=[2, 4])
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(
        "| clip | every | frames in between | J carried | J copied | CPU s/frame |\n|---|---|---|---|---|---|"
    )
    for name in options.clips:
        frames, masks = read_clip(options.data, name)
        truth = masks.astype(np.uint8)
        for step in options.every:
            check_step(name, len(frames), step)
            count, carried, copied, seconds = measure(frames, truth, step)
            print(
                f"| {name} | {step} | {count} | {100 * carried:.1f} | {100 * copied:.1f} | {seconds:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
