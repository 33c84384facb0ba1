"""A synthetic clip: frames, masks, and the exact flow that follows from its geometry."""

from dataclasses import dataclass

import numpy as np

from motion_adapt.models.synthetic.layers import Layer

NUM_OBJECTS = 3


@dataclass(frozen=True)
class SyntheticClip:
    """A rendered clip of T frames of H x W pixels with K object channels. Absent objects come last and are empty.

    Attributes:
        rgb: u8 (T, H, W, 3).
        amodal: bool (T, K, H, W).
        modal: bool (T, K, H, W).
        owner: u8 (T, H, W), the layer that is visible at each pixel.
        points: f32 (T, H, W, 6), that layer's material point at each pixel.
        layers: first the scene, then the objects.
        num_objects: number of objects.
    """

    rgb: np.ndarray
    amodal: np.ndarray
    modal: np.ndarray
    owner: np.ndarray
    points: np.ndarray
    layers: tuple[Layer, ...]
    num_objects: int

    @property
    def order(self) -> np.ndarray:
        """The object channels from back to front, (K,)."""
        return np.arange(self.amodal.shape[1])

    def displacement(self, t: int, s: int) -> np.ndarray:
        """Return the exact motion of each pixel of frame t, from t to s, in pixels (x, y), f32 (H, W, 2)."""
        height, width = self.owner.shape[1:]
        moved = np.zeros((height, width, 2), np.float32)
        for number, layer in enumerate(self.layers):
            mine = self.owner[t] == number
            material = self.points[t][mine]  # (N, 6)
            here, there = layer.project(t, material), layer.project(s, material)
            moved[mine] = np.stack([there[0] - here[0], there[1] - here[1]], axis=1)
        return moved

    def visible(self, t: int, s: int, displacement: np.ndarray) -> np.ndarray:
        """Return which pixels of frame t are also visible in frame s (inside and not hidden), bool (H, W)."""
        height, width = self.owner.shape[1:]
        y, x = np.mgrid[0:height, 0:width]
        to_x = np.rint(x + displacement[..., 0]).astype(int)
        to_y = np.rint(y + displacement[..., 1]).astype(int)
        inside = (to_x >= 0) & (to_x < width) & (to_y >= 0) & (to_y < height)
        there = np.clip(to_y, 0, height - 1), np.clip(to_x, 0, width - 1)
        return inside & (self.owner[s][there] == self.owner[t])

    def flow(self, gap: int = 1) -> np.ndarray:
        """Return the exact flow to the frames at +gap and -gap, f32 (T, 4, H, W): u+, v+, u-, v- in pixels.

        If one of these frames is outside the clip, its flow is the negated flow of the other direction.

        Raises:
            ValueError: the clip has fewer than 2 * gap frames.
        """
        frames = len(self.rgb)
        if not 1 <= gap <= frames // 2:
            raise ValueError(f"gap: wanted 1 to {frames // 2} for a clip of {frames} frames, got {gap}")
        forward = {t: self.displacement(t, t + gap) for t in range(frames - gap)}
        backward = {t: self.displacement(t, t - gap) for t in range(gap, frames)}
        return stack_flow(forward, backward, frames)


def stack_flow(forward: dict[int, np.ndarray], backward: dict[int, np.ndarray], frames: int) -> np.ndarray:
    """Stack fields (H, W, 2), given by frame, to f32 (T, 4, H, W). A missing field is the other one, negated."""
    pairs = []
    for t in range(frames):
        ahead = forward[t] if t in forward else -backward[t]
        behind = backward[t] if t in backward else -forward[t]
        pairs.append(np.concatenate([ahead, behind], axis=2))
    return np.ascontiguousarray(np.stack(pairs).transpose(0, 3, 1, 2))
