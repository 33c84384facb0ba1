"""The flow without the camera's motion, and the OCLR that sees it."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from motion_adapt.models.networks.camera_motion import camera_residual
from motion_adapt.models.networks.oclr import OCLR

H, W = 64, 112
OBJECT = (slice(20, 44), slice(24, 60))  # a seventh of the frame


def camera_flow(homography: np.ndarray, pixels: float = 1.0) -> torch.Tensor:
    """Flow (1, 2, H, W), in pixels, of a camera whose homography moves points in halves of the frame's width."""
    unit = pixels * W / 2
    y, x = ((np.mgrid[:H, :W] - np.array([H - 1, W - 1])[:, None, None] / 2) * pixels / unit).reshape(2, -1)
    moved = homography @ np.stack([x, y, np.ones_like(x)])
    flow = (moved[:2] / moved[2] - np.stack([x, y])) * unit
    return torch.from_numpy(flow.reshape(1, 2, H, W)).float()


@st.composite
def homographies(draw: st.DrawFn) -> np.ndarray:
    """A camera that moves by up to a tenth of the frame, turns, zooms and tilts."""
    numbers = [draw(st.floats(-0.1, 0.1)) for _ in range(8)]
    return np.eye(3) + np.array([*numbers, 0.0]).reshape(3, 3) * [[1, 1, 1], [1, 1, 1], [0.3, 0.3, 1]]


@given(homographies(), st.floats(3, 12), st.floats(0, 2 * np.pi), st.sampled_from([1.0, 2.0]))
def test_an_object_keeps_its_own_motion_and_the_ground_has_none(homography, speed, angle, pixels):
    flow = camera_flow(homography, pixels)
    own = torch.tensor([np.cos(angle), np.sin(angle)]) * speed
    flow[0, :, *OBJECT] += own[:, None, None]
    rest = camera_residual(flow, pixels=pixels)
    ground = torch.ones(H, W, dtype=torch.bool)
    ground[OBJECT] = False
    assert rest[0, :, ground].abs().max() < 0.3
    assert (rest[0, :, *OBJECT] - own[:, None, None]).abs().max() < 0.3


@pytest.mark.parametrize("turn", [lambda x: x.flip(-1), lambda x: x.flip(-2)])
def test_a_mirrored_frame_has_the_mirrored_residual(turn):
    flow = camera_flow(np.eye(3) + 0.02 * np.arange(9).reshape(3, 3) / 8)
    flow[0, 0, *OBJECT] += 5
    sign = torch.tensor([1.0, 1.0])
    sign[0 if turn(torch.arange(4).view(2, 2))[0, 0] == 1 else 1] = -1
    mirrored = camera_residual(turn(flow) * sign[:, None, None])
    # every fourth place is fitted to, and these are others after mirroring
    assert torch.allclose(mirrored, turn(camera_residual(flow)) * sign[:, None, None], atol=0.05)


@pytest.mark.parametrize("size", [(16, 16), (64, 112), (8, 14)])
@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 1e3])
def test_any_flow_has_a_finite_residual(size, scale):
    flow = scale * torch.randn(3, 2, *size, generator=torch.Generator().manual_seed(1))
    rest = camera_residual(flow)
    assert rest.shape == flow.shape and rest.dtype == torch.float32 and rest.isfinite().all()
    assert rest.abs().max() <= 3 * flow.abs().max()
    assert not camera_residual(torch.zeros(1, 2, *size)).any()


def test_frames_are_fitted_one_by_one():
    flow = torch.cat([camera_flow(np.eye(3) + shift * np.eye(3)[[2, 0, 1]]) for shift in (0.05, -0.1)])
    assert torch.equal(camera_residual(flow), torch.cat([camera_residual(one[None]) for one in flow]))


def test_an_oclr_with_residual_sees_it_and_has_the_same_interface():
    torch.manual_seed(0)
    small = {"features": 4, "width": 16, "num_heads": 2, "num_layers": 1, "reduction": 2}
    net = OCLR(**small, residual=True).eval()
    flow = torch.zeros(1, 3, 4, 32, 64)
    flow[..., 8:20, 10:30] = torch.tensor([4.0, 1.0, -4.0, -1.0])[:, None, None]
    logits, order = net(flow)
    assert logits.shape == (1, 3, 3, 16, 32) and order.shape == (1, 3, 3)
    with torch.no_grad():
        net.encoder.blocks[0].conv1.weight[:, :4] = 0  # the flow itself
    camera = torch.tensor([3.0, -2.0, -3.0, 2.0])[:, None, None]
    assert torch.allclose(net(flow + camera)[0], net(flow)[0], atol=1e-2)
    assert not torch.allclose(net(-flow)[0], net(flow)[0], atol=0.1)
