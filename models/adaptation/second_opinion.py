"""A second opinion on a clip's masks: what the shared network sees in the clip, before it is trained on it.

The network has learnt the foreground of many clips from their colours and motion. Its errors have little to do with
those of the corrector, which knows this clip's exemplars, so the mean of both is better than either.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from motion_adapt.models.inputs.readable import Readable, spread

_NEARBY = 8.0  # pixels: how far an object reaches beyond its mask, as the spread of a Gaussian
_LITTLE, _LEAST = 0.1, 1e-3  # weight of a nearby object, and of one that is elsewhere
_LOOKED_AT = 24  # frames, for how large each object is


class AmongObjects:
    """The foreground of a clip, each pixel given to one of its objects; computed when it is read.

    A pixel belongs to the object that is likeliest there by the masks given. If they show none there, it belongs to the
    nearest one, and if there is none nearby, to the one that is largest in the clip.

    Args:
        foreground: float (T, 1, H, W) in [0, 1].
        given: float (T, K, H, W) in [0, 1], the masks given.

    shape: (T, K, H, W).
    """

    def __init__(self, foreground: Readable, given: Readable) -> None:
        self.foreground, self.given, self.shape = foreground, given, given.shape
        looked_at = np.asarray(given[spread(given.shape[0], _LOOKED_AT)], np.float32)
        self.sizes: NDArray[np.float32] = looked_at.mean(axis=(0, 2, 3))

    def __getitem__(self, key: slice | list[int]) -> NDArray[np.float32]:
        owners = np.stack([self._owner(frame.astype(np.float32)) for frame in np.asarray(self.given[key])])
        objects = np.arange(self.shape[1])[:, None, None]
        shown: NDArray[np.float32] = np.where(objects == owners[:, None], self.foreground[key], np.float32(0))
        return shown

    def _owner(self, given: NDArray[np.float32]) -> NDArray[np.intp]:
        """Return the object of every pixel of a frame, (H, W), by its masks f32 (K, H, W)."""
        nearby = np.stack([cv2.GaussianBlur(mask, (0, 0), _NEARBY) for mask in given])
        return (given + _LITTLE * nearby + _LEAST * self.sizes[:, None, None]).argmax(axis=0)
