"""Take the camera's motion out of optical flow: what is left moves by itself, or is near and shifted by parallax.

A camera that turns or zooms, and one that moves past a plane, moves all points by one homography. It is fitted to the
flow of a frame robustly, by least squares with weights that fall with a point's distance from the fit so far.
"""

import torch
from torch import Tensor

ITERATIONS = 8
_SPREAD = 0.25  # pixels: noise of the flow, below which all points count alike
_STIFF = 1e-4  # how strongly a motion without evidence is held at none
# Depth of a point after the motion; before it, it is 1. No homography may turn a point to the other side.
_LEAST_DEPTH = 0.2
_COLUMNS = 28  # at most twice as many are fitted to, and as many rows as lie as densely


@torch.no_grad()
def camera_residual(flow: Tensor, *, pixels: float = 1.0) -> Tensor:
    """Subtract the camera's motion, a homography, from the flow of each frame.

    Args:
        flow: float (N, 2, H, W), u and v in pixels.
        pixels: width of a place of H x W, in the flow's pixels.

    Returns:
        f32 (N, 2, H, W), in the flow's pixels.
    """
    with torch.autocast(flow.device.type, enabled=False):
        height, width = flow.shape[-2:]
        unit = pixels * width / 2  # places and flow are fitted in halves of the frame's width
        y, x = torch.meshgrid(
            *(
                (torch.arange(side, dtype=torch.float64, device=flow.device) - (side - 1) / 2) * pixels / unit
                for side in (height, width)
            ),
            indexing="ij",
        )
        places = torch.stack([x, y])  # (2, H, W)
        step = max(1, width // _COLUMNS)
        cut = (..., slice(None, None, step), slice(None, None, step))
        motion = _homography(places[cut].flatten(1), flow[cut].flatten(2).double() / unit, _SPREAD / unit)
        camera = _moved_by(motion.float(), places.float().flatten(1)).view(flow.shape)
        return flow.float() - unit * camera


def _homography(places: Tensor, moved: Tensor, spread: float) -> Tensor:
    """Fit homographies, f64 (N, 8), to flow (N, 2, n) at `places` (2, n). All zeros stand for no motion.

    A place (x, y) moves to ((1 + a) x + b y + c, d x + (1 + e) y + f) / (1 + g x + h y).
    """
    x, y = places
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    to_x, to_y = (places + moved).unbind(1)  # (N, n)
    # multiplied by the denominator, both equations are linear in a, b, c, d, e, f, g, h
    rows = torch.stack(
        [
            torch.stack([*(part.expand_as(to_x) for part in parts), -x * to, -y * to], dim=-1)
            for parts, to in (((x, y, one, zero, zero, zero), to_x), ((zero, zero, zero, x, y, one), to_y))
        ],
        dim=1,
    )  # (N, 2, n, 8)
    stiff = _STIFF * len(x) * torch.eye(8, dtype=rows.dtype, device=rows.device)
    weights = torch.ones_like(to_x)
    for _ in range(ITERATIONS):
        weighted = rows * weights[:, None, :, None]
        normal = torch.einsum("ncpi,ncpj->nij", weighted, rows) + stiff
        motion = torch.linalg.solve(normal, torch.einsum("ncpi,ncp->ni", weighted, moved))
        distance = (moved - _moved_by(motion, places)).norm(dim=1)  # (N, n)
        scale = distance.median(dim=1, keepdim=True).values.clamp_min(spread)
        weights = (1 + (distance / scale) ** 2) ** -2
    return motion


def _moved_by(motion: Tensor, places: Tensor) -> Tensor:
    """Return the flow (N, 2, n) that homographies (N, 8) give to `places` (2, n)."""
    x, y = places
    a, b, c, d, e, f, g, h = motion[..., None].unbind(1)  # each (N, 1)
    depth = (1 + g * x + h * y).clamp_min(_LEAST_DEPTH)
    to = torch.stack([(1 + a) * x + b * y + c, d * x + (1 + e) * y + f], dim=1) / depth[:, None]
    return to - places
