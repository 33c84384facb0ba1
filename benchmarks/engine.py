"""Measure how fast synthetic clips are generated on one thread, with and without painted frames.

    python benchmarks/engine.py [--clips 20] [--photos FOLDER]

Both CPU time and wall time are measured. Without photos, textures are procedural. Selector, corrector and features are
trained on painted clips; OCLR only on motion, at the resolution of its UNet.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH
from motion_adapt.models.networks.sizes import COMPACT, STEP_SIZES
from motion_adapt.models.synthetic.synthetic_clip import SyntheticClip
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--photos", type=Path, help="folder of pictures for textures")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    frames, reduction = STEP_SIZES["compact"]["oclr"]["frames"], COMPACT["oclr"]["reduction"]
    large = SyntheticClips(photos=arguments.photos, frames=frames)
    small = large.at_size((HEIGHT // reduction, WIDTH // reduction))
    rows: dict[str, tuple[SyntheticClips, Callable[[SyntheticClips, int], object]]] = {
        "painted, masks": (large, SyntheticClips.make),
        "painted, masks, exact flow": (large, lambda supply, number: with_flow(supply.make(number))),
        "masks, exact flow": (small, lambda supply, number: with_flow(supply.make(number, paint=False))),
    }
    print("| clip | size | CPU ms/frame | frames/s of CPU | frames/s |\n|---|---|---|---|---|")
    for name, (supply, make) in rows.items():
        make(supply, arguments.clips)  # warm-up: reads the files that are read only once
        cpu, clock = time.process_time(), time.monotonic()
        for number in range(arguments.clips):
            make(supply, number)
        cpu, clock = time.process_time() - cpu, time.monotonic() - clock
        made = arguments.clips * frames
        size = " x ".join(map(str, supply.size))
        print(f"| {name} | {size} | {1000 * cpu / made:.1f} | {made / cpu:.0f} | {made / clock:.0f} |")


def with_flow(clip: SyntheticClip) -> SyntheticClip:
    """Compute the clip's flow in both directions, and return the clip."""
    clip.flow(1)
    return clip


if __name__ == "__main__":
    main()
