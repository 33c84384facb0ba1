"""Cuts of a video: the frames at which another shot begins, found by PySceneDetect from the pictures alone.

A cut changes a picture much more than the frames before and after change it. On the 42 clips of DAVIS that were tried,
no frame changes more than 1.45 times as much as its neighbours; at 120 cuts between pieces of them, it was at least
1.98 times.
"""

import cv2

from motion_adapt.models.inputs.readable import Readable, pieces

RATIO = 1.7  # change of a frame, compared with that of the two frames before and after it, from which on it is a cut
LEAST_CHANGE = 27.0  # PySceneDetect's usual bound: mean change of hue, saturation and brightness, of 255
_RATE = 25.0  # frames per second; PySceneDetect wants a rate, and nothing here depends on it


def find_cuts(rgb: Readable) -> list[int]:
    """Return the first frame of every shot but the first.

    The first and the last two frames of a clip are never found to be a cut, since they lack neighbours.

    Args:
        rgb: u8 (T, H, W, 3).
    """
    from scenedetect import FrameTimecode  # here, since it takes time to load and only this function needs it
    from scenedetect.detectors import AdaptiveDetector

    detector = AdaptiveDetector(
        adaptive_threshold=RATIO, min_scene_len=1, min_content_val=LEAST_CHANGE, window_width=2
    )
    found, index = [], 0
    for (some,) in pieces(rgb):
        for frame in some:
            seen = FrameTimecode(index, _RATE)
            cuts = detector.process_frame(seen, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
            found += [cut.frame_num for cut in cuts]
            index += 1
    return found


def shots_between(cuts: list[int], frames: int) -> list[tuple[int, int]]:
    """Return the shots of a clip of so many frames, each as (start, stop)."""
    return list(zip([0, *cuts], [*cuts, frames], strict=True))
