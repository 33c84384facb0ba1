"""Segment a video, and look at what came of it.

python examples/segment_a_video.py clip.mp4 results
"""

import sys

import numpy as np

import motion_adapt


def main(video: str, output: str) -> None:
    """Print a line per clip of `video`, and where its pictures are."""
    result = motion_adapt.segment(video, output=output, progress=True)
    for name, masks in result.masks.items():  # u8 (T, H, W): 0 background, 1, 2, 3 the objects
        objects = np.setdiff1d(np.unique(masks), [0])
        print(
            f"{name}: {len(masks)} frames, {len(objects)} objects on {np.mean(masks > 0):.1%} of the pixels"
        )
        if name in result.overlays and name in result.strips:  # a clip whose pictures failed has masks alone
            print(f"  watch {result.overlays[name]}; all stages in {result.strips[name].path}")
    print(result.clips.round(3).to_string())


if __name__ == "__main__":
    main(*sys.argv[1:])
