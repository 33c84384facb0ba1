"""How fast each pixel moves by itself: the length of its flow without the camera's motion.

An object may look like what stands still around it. A network that sees which pixels move tells the two apart in the
frames in which the object moves, and so learns from them what it looks like.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from motion_adapt.models.inputs.readable import Readable, spread
from motion_adapt.models.networks.camera_motion import camera_residual

UNIT = 85  # levels of the speed of the clip's fast pixels; the fastest have three times that
_FAST = 0.95  # so many of the clip's pixels are slower than its fast ones
_LEAST = 0.5  # pixels: noise of the flow, which is no motion even if nothing is faster
_LOOKED_AT = 24  # frames of a clip, for what is fast in it
_CHUNK = 16  # frames whose speed is computed at once


class WithSpeed:
    """The frames of a clip with their pixels' own speed as a fourth channel, computed when they are read.

    The speed counts in parts of that of the clip's fast pixels: `UNIT` levels, and at most 255.

    Args:
        rgb: u8 (T, H, W, 3).
        flow: float (T, 4, H, W), in pixels of H x W, see `models.inputs.flow.stream_flow`.

    shape: (T, H, W, 4).
    """

    def __init__(self, rgb: Readable, flow: Readable) -> None:
        self.rgb, self.flow = rgb, flow
        self.shape = (*rgb.shape[:3], 4)
        speeds = own_speed(flow[spread(rgb.shape[0], _LOOKED_AT)])
        self.fast = max(float(np.quantile(speeds, _FAST)), _LEAST)
        self.kept = -1, np.empty(0, np.uint8)

    def __getitem__(self, key: slice | list[int]) -> NDArray[np.uint8]:
        rgb = np.asarray(self.rgb[key])
        seen = np.empty((*rgb.shape[:3], 4), np.uint8)
        seen[..., :3] = rgb
        for place, index in enumerate(np.arange(self.shape[0])[key].tolist()):
            seen[place, ..., 3] = self._levels(index // _CHUNK)[index % _CHUNK]
        return seen

    def _levels(self, chunk: int) -> NDArray[np.uint8]:
        """Return the speed of a chunk of frames; the last one is kept, since frames are mostly read in order."""
        if self.kept[0] != chunk:
            flow = self.flow[chunk * _CHUNK : (chunk + 1) * _CHUNK]
            speed = own_speed(flow) * (UNIT / self.fast)
            self.kept = chunk, np.rint(speed.clip(0, 255)).astype(np.uint8)
        return self.kept[1]


def own_speed(flow: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the speed of every pixel without the camera's motion, f32 (N, H, W), in pixels per gap.

    Args:
        flow: float (N, 4, H, W), to the frame ahead and to the one before. What is noise in one alone cancels out.
    """
    ahead, back = (
        camera_residual(torch.from_numpy(np.asarray(side, np.float32))) for side in (flow[:, :2], flow[:, 2:])
    )
    across, down = (ahead - back).unbind(1)
    speed: NDArray[np.float32] = (torch.hypot(across, down) / 2).numpy()
    return speed
