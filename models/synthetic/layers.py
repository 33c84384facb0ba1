"""A textured, moving, slightly deforming layer of a synthetic clip, and the geometry that makes flow exact.

A point c of a layer's canvas is seen in frame t at  W_t(c) = P_t(c + D(c) a_t).  P_t is a homography, D are two
smooth vector fields on the canvas, and a_t are their two amplitudes. Drawing needs the inverse. It is found by
fixed-point iteration, which contracts if D a_t varies slowly. The flow of a visible point is W_s(c) - W_t(c), with the
same c.
"""

from dataclasses import dataclass

import cv2
import numpy as np

FIXED_POINT_STEPS = 12  # maximum number of iterations
NEAR_ENOUGH = 0.005  # the iteration ends if a step moves all canvas points by less than this, in pixels
REMAP_BORDER = cv2.BORDER_REFLECT_101


@dataclass(frozen=True)
class Layer:
    """A layer of a clip.

    Attributes:
        texture: u8 (h, w, 3).
        silhouette: f32 (h, w) in [0, 1]; None for a background that fills the frame.
        paths: homographies (T, 3, 3) from canvas to frame.
        fields: f32 (h, w, 4), two displacements (x, y).
        amplitudes: (T, 2).
    """

    texture: np.ndarray
    silhouette: np.ndarray | None
    paths: np.ndarray
    fields: np.ndarray
    amplitudes: np.ndarray

    def box(self, t: int, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of frame t that the layer can cover. The slices can be empty."""
        if self.silhouette is None:
            return slice(0, height), slice(0, width)
        h, w = self.silhouette.shape
        reach = float(np.abs(self.amplitudes[t]).max() * np.abs(self.fields).max()) + 2.0
        corners = np.array(
            [[-reach, -reach], [w + reach, -reach], [w + reach, h + reach], [-reach, h + reach]]
        )
        x, y = project(self.paths[t], corners[:, 0], corners[:, 1])
        top, bottom = np.clip([np.floor(y.min()), np.ceil(y.max()) + 1], 0, height).astype(int)
        left, right = np.clip([np.floor(x.min()), np.ceil(x.max()) + 1], 0, width).astype(int)
        return slice(top, bottom), slice(left, right)

    def canvas_points(self, t: int, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return the canvas point visible at each pixel of a window of frame t: x and y, f32 (rows, columns)."""
        y, x = np.mgrid[rows, columns].astype(np.float32)
        goal_x, goal_y = project(np.linalg.inv(self.paths[t]), x, y)
        c_x, c_y = goal_x, goal_y
        for _ in range(FIXED_POINT_STEPS if self.amplitudes[t].any() else 0):
            d_x, d_y = blend(self.displacements(c_x, c_y), self.amplitudes[t])
            before, c_x, c_y = (c_x, c_y), goal_x - d_x, goal_y - d_y
            if max(np.abs(c_x - before[0]).max(), np.abs(c_y - before[1]).max()) < NEAR_ENOUGH:
                break
        return c_x, c_y

    def displacements(self, c_x: np.ndarray, c_y: np.ndarray) -> np.ndarray:
        """Return the fields D at canvas points, f32 (..., 4)."""
        return cv2.remap(self.fields, c_x, c_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def project(self, t: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project material points (N, 6), canvas x and y followed by D there, to frame t: x and y."""
        d_x, d_y = blend(points[:, 2:], self.amplitudes[t])
        return project(self.paths[t], points[:, 0] + d_x, points[:, 1] + d_y)

    def colours(self, c_x: np.ndarray, c_y: np.ndarray) -> np.ndarray:
        """Return the texture at canvas points, mirrored beyond the canvas, u8 (..., 3)."""
        return cv2.remap(self.texture, c_x, c_y, cv2.INTER_LINEAR, borderMode=REMAP_BORDER)

    def opacity(self, c_x: np.ndarray, c_y: np.ndarray) -> np.ndarray:
        """Return the silhouette at canvas points, 0 beyond the canvas, f32 (...)."""
        if self.silhouette is None:
            return np.ones_like(c_x)
        return cv2.remap(self.silhouette, c_x, c_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def project(matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Apply a homography (3, 3) to points, in float32."""
    m = matrix.astype(np.float32)
    depth = m[2, 0] * x + m[2, 1] * y + m[2, 2]
    return (m[0, 0] * x + m[0, 1] * y + m[0, 2]) / depth, (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / depth


def blend(fields: np.ndarray, amplitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the total displacement, x and y, of two (x, y) fields (..., 4) with two amplitudes."""
    first, second = amplitudes.astype(np.float32)
    return fields[..., 0] * first + fields[..., 2] * second, fields[..., 1] * first + fields[..., 3] * second
