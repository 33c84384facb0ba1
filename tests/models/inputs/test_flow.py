"""Flow estimators and the streaming of a clip's flow."""

import hashlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models import optical_flow

from motion_adapt.models.inputs import downloads as weights_module
from motion_adapt.models.inputs import flow_estimators
from motion_adapt.models.inputs.downloads import WeightsMissing, download, hub_file
from motion_adapt.models.inputs.flow import effective_gap, stream_flow
from motion_adapt.models.inputs.flow_estimators import FlowEstimator, flow_estimator, flow_provenance
from tests.models.reference_metrics import folder


def textured(height, width, shift=0, seed=0):
    """Return a smooth random picture u8 (height, width, 3), shifted to the right by `shift` pixels."""
    noise = np.random.default_rng(seed).random((height + 40, width + 80, 3)) * 255
    picture = cv2.GaussianBlur(noise, (0, 0), 2)
    picture = (picture - picture.min()) / np.ptp(picture) * 255
    return picture[20 : 20 + height, 40 - shift : 40 - shift + width].astype(np.uint8)


class Clip:
    """A clip that counts how often each of its frames is read."""

    def __init__(self, frames):
        self.frames, self.reads = frames, np.zeros(len(frames), int)
        self.shape = frames.shape

    def __getitem__(self, index):
        assert isinstance(index, slice)
        self.reads[index] += 1
        return self.frames[index]


class Ramp(FlowEstimator):
    """Reads the numbers encoded in frames: u is the second minus the first, v is the first."""

    def __init__(self):
        super().__init__("dis")
        self.most_frames = 0

    def _estimate(self, frames, pairs):
        self.most_frames = max(self.most_frames, len(frames))
        numbers = frames[..., 0].astype(np.float32)
        for first, second in pairs:
            yield np.stack([numbers[second] - numbers[first], numbers[first]], axis=-1)


def numbered(count, height=128, width=224):
    frames = np.zeros((count, height, width, 3), np.uint8)
    frames += np.arange(count, dtype=np.uint8)[:, None, None, None]
    return frames


def whole(chunks):
    starts, parts = zip(*chunks, strict=True)
    assert list(starts) == np.cumsum([0, *map(len, parts)])[:-1].tolist()
    return np.concatenate(parts)


# ------------------------------------------------------------------------------------------ planning


@given(st.integers(2, 300), st.integers(1, 20))
def test_every_frame_has_a_neighbour_at_the_effective_gap(count, gap):
    effective = effective_gap(count, gap)
    assert 1 <= effective <= gap
    assert all(i >= effective or i + effective < count for i in range(count))
    assert effective == gap or count < 2 * gap


def test_short_clips():
    assert [effective_gap(n, 3) for n in (2, 3, 4, 5, 6, 7)] == [1, 1, 2, 2, 3, 3]
    with pytest.raises(ValueError, match="two frames"):
        effective_gap(1, 1)
    with pytest.raises(ValueError, match="at least 1"):
        effective_gap(10, 0)


# ----------------------------------------------------------------------------------------- streaming


@given(st.integers(2, 24), st.integers(1, 4), st.integers(1, 9))
def test_streaming_gives_each_frame_both_sides_and_reads_it_once(count, gap, batch):
    clip, ramp = Clip(numbered(count, 4, 6)), Ramp()
    flow = whole(stream_flow(clip, gap=gap, estimator=ramp, batch=batch))
    step = effective_gap(count, gap)
    assert flow.shape == (count, 4, 128, 224) and flow.dtype == np.float32
    assert clip.reads.tolist() == [1] * count
    assert ramp.most_frames <= batch + 2 * step
    scale_u, scale_v = 224 / 6, 128 / 4
    for i, (u_next, v_next, u_before, v_before) in enumerate(flow.mean(axis=(2, 3))):
        assert u_next == pytest.approx(step * scale_u) and u_before == pytest.approx(-step * scale_u)
        has_next, has_before = i + step < count, i >= step
        assert v_next == pytest.approx(scale_v * i * (1 if has_next else -1), abs=1e-3)
        assert v_before == pytest.approx(scale_v * i * (1 if has_before else -1), abs=1e-3)


def test_vectors_count_pixels_of_the_working_resolution_whatever_was_estimated_at():
    frames = np.stack([textured(256, 448, shift=4 * i) for i in range(3)])
    for resolution in (None, (128, 224), (160, 240)):
        flow = whole(stream_flow(frames, gap=1, estimator=flow_estimator("dis"), resolution=resolution))
        middle = np.median(flow[1][:, 32:96, 56:168], axis=(1, 2))
        np.testing.assert_allclose(middle, [2, 0, -2, 0], atol=0.1)


def test_streaming_is_repeatable_and_independent_of_the_chunks():
    frames = np.stack([textured(90, 160, shift=2 * i, seed=3) for i in range(7)])
    dis = flow_estimator("dis")
    first, again, other = (
        whole(stream_flow(frames, gap=2, estimator=dis, batch=batch)) for batch in (3, 3, 5)
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, other)


# ---------------------------------------------------------------------------------------- estimators


@pytest.mark.parametrize("size", [(9, 16), (77, 131), (240, 427)])
def test_dis_takes_any_size(size):
    pair = np.stack([textured(*size)]), np.stack([textured(*size, shift=2)])
    flow = flow_estimator("dis")(*pair)
    assert flow.shape == (1, *size, 2)
    np.testing.assert_allclose(np.median(flow[0], axis=(0, 1)), [2, 0], atol=0.2)


def test_constant_frames_have_no_flow():
    grey = np.full((2, 90, 160, 3), 127, np.uint8)
    assert not flow_estimator("dis")(grey, grey).any()


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"raft_large, raft_small, dis.*'raft'"):
        flow_estimator("raft")
    with pytest.raises(ValueError, match="C_T_SKHT_V1"):
        flow_estimator("raft_large", weights="sintel")
    with pytest.raises(ValueError, match="it has no weights"):
        flow_estimator("dis", weights="C_T_V1")
    with pytest.raises(ValueError, match="frames: wanted u8"):
        flow_estimator("dis")(np.zeros((1, 9, 16), np.uint8), np.zeros((1, 9, 16), np.uint8))
    with pytest.raises(ValueError, match="second"):
        flow_estimator("dis")(np.zeros((1, 9, 16, 3), np.uint8), np.zeros((1, 9, 17, 3), np.uint8))


def test_provenance_mentions_real_ground_truth():
    assert "no real flow ground truth" in flow_provenance("raft_large")
    assert "KITTI" in flow_provenance("raft_large", "C_T_SKHT_V1")
    assert "no weights" in flow_provenance("dis")
    assert "not known" in flow_provenance("flo")


@pytest.mark.parametrize(
    ("size", "calls"),
    [((128, 224), [12]), ((480, 854), [9, 3]), ((720, 1280), [1, 1, 1]), ((1080, 1920), [1, 1])],
)
def test_raft_takes_as_many_pairs_at_once_as_its_volume_allows(size, calls, tmp_path, monkeypatch):
    class Still:
        mask_predictor, corr_block, seen = None, SimpleNamespace(), []
        feature_encoder = context_encoder = SimpleNamespace(encode=lambda *_: None)

        def __call__(self, first, second, num_flow_updates):
            self.seen.append(len(first))
            return [first[:, :2]]  # a flow that differs from frame to frame

    torch.save(optical_flow.raft_small().state_dict(), tmp_path / "raft.pth")
    monkeypatch.setattr(flow_estimators, "hub_file", lambda url, **options: tmp_path / "raft.pth")
    raft = flow_estimator("raft_small")
    raft.network = Still()
    frames = numbered(sum(calls), *size)
    flow = raft(frames, frames)
    assert raft.network.seen == calls and flow.shape == (*frames.shape[:3], 2)
    np.testing.assert_allclose(flow[:, 0, 0, 0], np.arange(len(frames)) / 127.5 - 1, atol=1e-6)


# ------------------------------------------------------------------------------------------- weights


@pytest.fixture
def empty_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub/checkpoints"


def test_missing_weights_are_reported_with_what_to_do(empty_hub, monkeypatch):
    monkeypatch.setattr(weights_module, "reachable", lambda url: False)
    with pytest.raises(WeightsMissing) as caught:
        flow_estimator("raft_small", weights="C_T_V1")
    message = str(caught.value)
    for part in ("raft_small C_T_V1 (4 MB)", str(empty_hub), "curl -fL", "download.pytorch.org", "dis"):
        assert part in message


def test_a_download_is_whole_or_not_at_all(tmp_path, empty_hub):
    content = b"some weights"
    good = tmp_path / f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    bad = tmp_path / "net-00000000.pth"
    for file in (good, bad):
        file.write_bytes(content)
    assert hub_file(good.as_uri(), what="net", megabytes=1, replacement="none").read_bytes() == content
    with pytest.raises(OSError, match="SHA-256"):
        download(bad.as_uri(), empty_hub / bad.name)
    assert [file.name for file in empty_hub.iterdir()] == [good.name]


# -------------------------------------------------------------------------------------- real weights


def warp_error(first, second, flow):
    """Return the mean absolute difference of the first frame and the second one warped back by the flow."""
    rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    warped = cv2.remap(
        second, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.abs(warped.astype(float) - first).mean()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, weights", [("raft_large", "C_T_SKHT_V1"), ("raft_small", "C_T_V1"), ("dis", None)]
)
def test_estimators_explain_real_motion(name, weights, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(folder("MOTION_ADAPT_WEIGHTS") / "torch"))
    torch.set_num_threads(1)
    estimator = flow_estimator(name, weights=weights, updates=12)
    for seq in ("car-shadow", "dog"):
        files = sorted((folder("MOTION_ADAPT_DATA") / "tiny/JPEGImages/480p" / seq).glob("*.jpg"))[3:5]
        first, second = (cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB) for file in files)
        flow = estimator(first[None], second[None])
        assert flow.shape == (1, 240, 427, 2) and np.isfinite(flow).all()
        moved, still = warp_error(first, second, flow[0]), warp_error(first, second, np.zeros_like(flow[0]))
        assert moved < 0.6 * still, f"{seq}: warp error {moved:.2f}, of zero flow {still:.2f}"


@pytest.mark.slow
def test_raft_equals_torchvisions(monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(folder("MOTION_ADAPT_WEIGHTS") / "torch"))
    pair = np.stack([textured(128, 160)]), np.stack([textured(128, 160, shift=4)])
    weights = optical_flow.Raft_Large_Weights.C_T_SKHT_V1
    images = [torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1 for frames in pair]
    with torch.inference_mode():
        wanted = optical_flow.raft_large(weights=weights).eval()(*images, num_flow_updates=5)[-1]
    got = flow_estimator("raft_large", weights=weights.name, updates=5)(*pair)
    np.testing.assert_array_equal(got, wanted.permute(0, 2, 3, 1).numpy())


@pytest.mark.slow
def test_raft_can_keep_its_padding(monkeypatch):
    """The official script stores flow with the padding. Inside, it is the same flow."""
    monkeypatch.setenv("TORCH_HOME", str(folder("MOTION_ADAPT_WEIGHTS") / "torch"))
    pair = np.stack([textured(130, 163)]), np.stack([textured(130, 163, shift=4)])
    kept, cut = (flow_estimator("raft_small", updates=3, keep_padding=keep)(*pair) for keep in (True, False))
    assert kept.shape == (1, 136, 168, 2) and cut.shape == (1, 130, 163, 2)
    np.testing.assert_array_equal(kept[:, 3:133, 2:165], cut)


@pytest.mark.slow
def test_raft_streams_odd_and_small_frames(monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(folder("MOTION_ADAPT_WEIGHTS") / "torch"))
    torch.set_num_threads(1)
    frames = np.stack([textured(77, 131, shift=3 * i) for i in range(3)])
    flow = whole(stream_flow(frames, gap=1, estimator=flow_estimator("raft_small", updates=6), batch=2))
    wanted = 3 * 224 / 131
    middle = np.median(flow[1][:, 32:96, 56:168], axis=(1, 2))
    np.testing.assert_allclose(middle, [wanted, 0, -wanted, 0], atol=0.5)
