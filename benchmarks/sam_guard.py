"""Find the best `sam.least_iou` on generated clips, with a stand-in for SAM that is right or wrong at random.

    python benchmarks/sam_guard.py [--clips 40]

No weights are needed. The mask that asks is the true mask with the errors that corrupted proposals have. The better it
is, the likelier the stand-in answers with the true mask: with a chance of J to some power. Otherwise it answers with
something wrong: a part of the object, the object and as much around it, another object, or everything but the object.
For each bound, the table has the mean J of the masks that remain. It shows which bound tells such answers apart, not
what SAM brings.
"""

import argparse

import cv2
import numpy as np

from motion_adapt.models.sam.refine_masks import iou
from motion_adapt.models.synthetic.corruptions import corrupt_clip, cut
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips

BOUNDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
POWERS = (0.25, 0.5, 1.0, 2.0)  # the chance of a right answer is J to this power


def wrong_answers(truth: np.ndarray, others: np.ndarray) -> list[np.ndarray]:
    """Return a part of an object, the object and as much around it, the other objects, and all but the object."""
    rng = np.random.default_rng(int(truth.sum()))
    part = cut(rng, truth, others)
    reach = 2 * int(np.sqrt(truth.sum()) / 5) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    found = [part, cv2.dilate(truth.astype(np.uint8), disc) > 0, ~truth]
    return [*found, others] if others.any() else found


def samples(clips: int) -> list[tuple[float, list[tuple[float, float]]]]:
    """Return the J of every mask, which is its IoU with the right answer, and (IoU, J) of each wrong answer."""
    supply, found = SyntheticClips(seed=11, frames=6, size=(96, 160)), []
    for index in range(clips):
        truth = supply.make(index).modal
        asking = corrupt_clip(np.random.default_rng(index), truth)
        for t, k in zip(*np.nonzero(truth.any(axis=(2, 3)) & asking.any(axis=(2, 3))), strict=True):
            mask, true = asking[t, k], truth[t, k]
            others = np.delete(truth[t], k, axis=0).any(axis=0)
            wrong = [(iou(answer, mask), iou(answer, true)) for answer in wrong_answers(true, others)]
            found.append((iou(mask, true), wrong))
    return found


def remaining(own: float, wrong: list[tuple[float, float]], bound: float, power: float) -> float:
    """Return the J to be expected of a mask that asks with a J of `own`."""
    right = 1.0 if own >= bound else own
    other = float(np.mean([j if agrees >= bound else own for agrees, j in wrong]))
    chance = own**power
    return chance * right + (1 - chance) * other


def main() -> None:
    """Print the mean J for every bound and chance of right answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clips", type=int, default=40)
    given = parser.parse_args()
    found = samples(given.clips)
    right = [np.mean([own**power for own, _ in found]) for power in POWERS]
    print(f"{len(found)} masks of {given.clips} clips, J before {np.mean([own for own, _ in found]):.3f}")
    print("| `sam.least_iou` |" + "".join(f" {share:.0%} right |" for share in right))
    print("|---|" + "---|" * len(POWERS))
    for bound in BOUNDS:
        means = [np.mean([remaining(*item, bound, power) for item in found]) for power in POWERS]
        print(f"| {bound:.1f} |" + "".join(f" {mean:.3f} |" for mean in means))


if __name__ == "__main__":
    main()
