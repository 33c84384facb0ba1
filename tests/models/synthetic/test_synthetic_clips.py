"""Synthetic clips: their labels are consistent with each other, and clips are repeatable."""

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from motion_adapt.models.synthetic import textures
from motion_adapt.models.synthetic.drawing import QUALITY, compressed
from motion_adapt.models.synthetic.flow_noise import noisy_flow
from motion_adapt.models.synthetic.shapes import Silhouettes, random_silhouette
from motion_adapt.models.synthetic.synthetic_clips import BENDING, SyntheticClips, articulation
from motion_adapt.models.synthetic.synthetic_flow import clip_flow, estimated_flow
from motion_adapt.models.synthetic.textures import PhotoCache, Textures
from tests.examples import examples

SIZE = (64, 112)
indices = st.integers(0, 10_000)


def clip_of(index, frames=6, **settings):
    return SyntheticClips(seed=1, size=SIZE, frames=frames, **settings).make(index)


@examples(12)
@given(indices)
def test_masks_are_layered(index):
    clip = clip_of(index)
    assert clip.rgb.shape == (6, *SIZE, 3) and clip.rgb.dtype == np.uint8
    assert clip.amodal.shape == clip.modal.shape == (6, 3, *SIZE)
    assert 1 <= clip.num_objects <= 3
    assert not clip.amodal[:, clip.num_objects :].any()
    in_front = np.zeros((6, *SIZE), bool)
    for k in clip.order[::-1]:
        assert np.array_equal(clip.modal[:, k], clip.amodal[:, k] & ~in_front)
        in_front |= clip.amodal[:, k]


@examples(12)
@example(2039, 2)  # a sprite that bends strongly
@given(indices, st.integers(1, 3))
def test_flow_leads_to_the_same_material(index, gap):
    clip = clip_of(index)
    t, s = 1, 1 + gap
    moved = clip.displacement(t, s)
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
    to_x, to_y = x + moved[..., 0], y + moved[..., 1]
    arrived = cv2.remap(clip.points[s][..., :2], to_x, to_y, cv2.INTER_LINEAR)
    error = np.abs(arrived - clip.points[t][..., :2]).max(-1)
    # Interpolation must not mix in other layers.
    pure = [inner(clip.owner[s] == n) for n in range(len(clip.layers))]
    around = np.max([cv2.remap(mask, to_x, to_y, cv2.INTER_NEAREST) for mask in pure], axis=0) > 0
    checked = error[clip.visible(t, s, moved) & around]
    if len(checked):
        assert checked.max() < 0.5 and np.percentile(checked, 99) < 0.1


def inner(mask):
    """Return 1 for a pixel if it and its eight neighbours are set (so never at the border), otherwise 0."""
    return cv2.erode(mask.astype(np.uint8), np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT, borderValue=0)


@examples(6)
@given(indices)
def test_what_a_pixel_shows_is_drawn_where_the_geometry_puts_it(index):
    """Drawing finds the material point of every pixel by iteration; projecting that point leads back to the pixel."""
    clip = clip_of(index)
    rows, columns = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
    for t in (0, 3):
        for number, layer in enumerate(clip.layers):
            mine = clip.owner[t] == number
            x, y = layer.project(t, clip.points[t][mine])
            assert np.allclose(x, columns[mine], atol=0.02) and np.allclose(y, rows[mine], atol=0.02)


def test_a_sprite_bends_but_does_not_fold():
    rng = np.random.default_rng(0)
    for size in (14, 60, 150):
        fields, amplitudes = articulation(rng, size, 8)
        slopes = np.concatenate(np.gradient(fields, axis=(0, 1)), axis=2)  # d/dy of both fields, then d/dx
        first, second = slopes[..., [0, 1, 4, 5]], slopes[..., [2, 3, 6, 7]]
        bends = [np.abs(first * a + second * b).max() for a, b in amplitudes]
        assert 0 < max(bends) < 1.05 * BENDING


@examples(6)
@given(indices)
def test_warping_the_masks_by_the_flow_gives_the_masks(index):
    clip = clip_of(index)
    moved = clip.displacement(2, 3)
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
    seen = clip.visible(2, 3, moved)
    for k in range(clip.num_objects):
        there = cv2.remap(
            clip.modal[3, k].astype(np.uint8), x + moved[..., 0], y + moved[..., 1], cv2.INTER_NEAREST
        )
        mine = clip.modal[2, k] & seen
        assert (there[mine] == 1).mean() > 0.98 if mine.sum() > 50 else True


def test_flow_has_both_directions_and_fills_the_ends():
    clip = clip_of(7)
    flow = clip.flow(2)
    assert flow.shape == (6, 4, *SIZE) and flow.dtype == np.float32
    np.testing.assert_array_equal(flow[0, 2:], -flow[0, :2])
    np.testing.assert_array_equal(flow[5, :2], -flow[5, 2:])
    np.testing.assert_array_equal(flow[3, :2].transpose(1, 2, 0), clip.displacement(3, 5))
    np.testing.assert_array_equal(flow[3, 2:].transpose(1, 2, 0), clip.displacement(3, 1))
    with pytest.raises(ValueError, match="gap"):
        clip.flow(4)


def test_a_clip_depends_on_seed_and_index_alone():
    clips = SyntheticClips(seed=5, size=SIZE, frames=4)
    first = clips.make(3)
    clips.make(9)
    again = SyntheticClips(seed=5, size=SIZE, frames=4).make(3)
    assert np.array_equal(first.rgb, again.rgb)
    assert np.array_equal(first.flow(), again.flow())
    assert not np.array_equal(first.rgb, clips.make(4).rgb)
    assert not np.array_equal(first.rgb, SyntheticClips(seed=6, size=SIZE, frames=4).make(3).rgb)


def test_frames_drawn_alone_are_those_of_the_whole_clip():
    clips = SyntheticClips(seed=5, size=SIZE, frames=6)
    whole, part = clips.make(3), clips.make(3, only=(1, 4))
    for t in range(6):
        assert np.array_equal(part.rgb[t], whole.rgb[t] if t in (1, 4) else np.zeros_like(whole.rgb[t]))
    assert np.array_equal(part.displacement(4, 1), whole.displacement(4, 1))


def test_near_parts_of_the_scene_are_not_objects():
    clips = SyntheticClips(seed=5, size=SIZE, frames=2)
    found = [clips.make(index) for index in range(12)]
    near = [clip for clip in found if len(clip.layers) - clip.num_objects == 2]
    assert near and len(near) < len(found)
    assert any((clip.owner == 1).any() for clip in near)
    for clip in near:
        assert not (clip.modal.any(axis=1) & (clip.owner == 1)).any()


def test_objects_rest_at_times():
    """In some of many clips, an object rests relative to the scene, and its flow equals the scene's."""
    rests = 0
    for index in range(12):
        clip = clip_of(index, frames=10)
        paths = [layer.paths for layer in clip.layers[-clip.num_objects :]]
        camera = clip.layers[0].paths
        steady = np.linalg.inv(camera)[:, None] @ np.stack(paths, 1)  # in the scene's own coordinates
        change = np.abs(np.diff(steady[..., :2, 2], axis=0)).max(-1)
        rests += bool((change < 1e-6).any())
    assert rests >= 1


@examples(10)
@given(indices, st.integers(16, 90))
def test_silhouettes_have_a_body_and_stay_inside(seed, size):
    mask = random_silhouette(np.random.default_rng(seed), size)
    assert mask.shape == (size, size) and mask.min() >= 0 and mask.max() <= 1
    assert (mask > 0.5).mean() > 0.02
    assert max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) < 0.5


@pytest.mark.parametrize("most", [1, 2, 3])
def test_clips_with_one_two_and_three_objects_are_equally_many(most):
    clips = SyntheticClips(seed=0, size=(16, 28), frames=2, max_objects=most)
    counts = np.bincount([clips.make(i, paint=False).num_objects for i in range(120)], minlength=4)
    # equal shares, within four standard deviations of 120 draws
    assert (
        np.allclose(counts[1 : most + 1], 120 / most, atol=21) and counts.sum() == counts[1 : most + 1].sum()
    )


def test_half_of_the_clips_are_compressed_each_at_one_quality(monkeypatch):
    clips = SyntheticClips(seed=0, size=SIZE, frames=2)
    found = [clips.make(index).rgb for index in range(16)]
    monkeypatch.setattr("motion_adapt.models.synthetic.drawing.COMPRESSED_SHARE", 0.0)
    plain = [clips.make(index).rgb for index in range(16)]
    hit = [(frames, before) for frames, before in zip(found, plain, strict=True) if (frames != before).any()]
    assert 4 <= len(hit) <= 12
    for frames, before in hit:
        assert any(
            all(np.array_equal(compressed(before[t], quality), frames[t]) for t in range(2))
            for quality in range(*QUALITY)
        )


def test_compression_keeps_colours_and_loses_detail():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[...] = (200, 40, 90)
    assert np.abs(compressed(picture, 50).astype(int) - picture).max() < 8
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    loss = [np.abs(compressed(noise, quality).astype(int) - noise).mean() for quality in (30, 60, 95)]
    assert loss[0] > loss[1] > loss[2] > 0


def write_mask(path, *, value=1):
    """Write a mask with a tall bar next to a short one, which is unlike any drawn shape."""
    mask = np.zeros((100, 150), np.uint8)
    mask[10:90, 20:40] = value
    mask[70:90, 40:120] = value
    cv2.imwrite(str(path), mask)
    return mask[10:90, 20:120] > 0


def test_a_users_silhouettes_are_half_of_the_shapes(tmp_path):
    shape = write_mask(tmp_path / "corner.png")
    shapes = Silhouettes(tmp_path)
    rng = np.random.default_rng(0)
    alike = []
    for _ in range(80):
        found = (shapes.sample(rng, 60) > 0.5).astype(np.uint8)
        x, y, w, h = cv2.boundingRect(found)
        wanted = cv2.resize(shape.astype(np.uint8), (w, h), interpolation=cv2.INTER_NEAREST)
        window = found[y : y + h, x : x + w]
        overlaps = [(window & w_).sum() / (window | w_).sum() for w_ in (wanted, wanted[:, ::-1])]
        alike.append(max(overlaps) > 0.9)
    assert 0.3 < np.mean(alike) < 0.7


def test_clips_with_silhouettes_differ_from_those_without_and_repeat(tmp_path):
    write_mask(tmp_path / "corner.png", value=255)
    with_, again, without = (
        [
            SyntheticClips(seed=0, size=SIZE, frames=2, silhouettes=folder).make(i, paint=False)
            for i in range(6)
        ]
        for folder in (tmp_path, tmp_path, None)
    )
    assert all(np.array_equal(a.amodal, b.amodal) for a, b in zip(with_, again, strict=True))
    assert not all(np.array_equal(a.amodal, b.amodal) for a, b in zip(with_, without, strict=True))


def test_silhouettes_that_cannot_be_used_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"silhouettes: no picture \(\.png"):
        SyntheticClips(silhouettes=tmp_path)
    write_mask(tmp_path / "nothing.png", value=0)
    with pytest.raises(ValueError, match=r"nothing\.png is entirely black"):
        for seed in range(10):
            Silhouettes(tmp_path).sample(np.random.default_rng(seed), 40)


def test_photos_are_used(tmp_path):
    picture = np.zeros((80, 120, 3), np.uint8)
    picture[..., 2] = 200  # red, in OpenCV's order
    cv2.imwrite(str(tmp_path / "red.png"), picture)
    rgb = SyntheticClips(seed=0, photos=tmp_path, size=SIZE, frames=2).make(0).rgb
    assert rgb[..., 0].mean() > rgb[..., 1].mean() + 40
    with pytest.raises(ValueError, match="no picture"):
        SyntheticClips(photos=tmp_path / "nothing")
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match="broken"):
        for index in range(20):
            SyntheticClips(seed=0, photos=tmp_path, size=SIZE, frames=2).make(index)


@pytest.mark.parametrize("shape", [(1, 50), (50, 1)])
def test_a_photo_too_thin_to_crop_is_named(tmp_path, shape):
    cv2.imwrite(str(tmp_path / "line.png"), np.zeros((*shape, 3), np.uint8))
    with pytest.raises(ValueError, match=rf"line\.png has {shape[1]} x {shape[0]} pixels"):
        Textures(tmp_path).sample(np.random.default_rng(0), 40, 60)


def test_photos_are_kept_up_to_a_number_of_bytes(tmp_path, monkeypatch):
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path in paths:
        cv2.imwrite(str(path), np.zeros((10, 20, 3), np.uint8))
    read = []
    monkeypatch.setattr(
        textures, "read_photo", lambda path: read.append(path) or np.zeros((10, 20, 3), np.uint8)
    )
    cache = PhotoCache(2 * 600)
    for index in (
        0,
        1,
        0,
        2,
        0,
        1,
    ):  # the third photo takes the place of the second, which was read longer ago
        assert cache.read(paths[index]).nbytes == 600
        assert cache.bytes == sum(photo.nbytes for photo in cache.kept.values()) <= cache.most
    assert [paths.index(path) for path in read] == [0, 1, 2, 1]
    small = PhotoCache(599)
    assert small.read(paths[0]).nbytes == 600 and not small.kept


@pytest.mark.parametrize("size", [(128, 64), (64, 52), (8, 14)])
def test_sizes_at_which_no_clip_can_be_drawn_are_refused(size):
    with pytest.raises(ValueError, match=f"size: wanted .* got {size[0]} x {size[1]}"):
        SyntheticClips(size=size)
    with pytest.raises(ValueError, match="size: wanted"):
        SyntheticClips().at_size(size)


def test_the_narrowest_and_lowest_clips_can_be_drawn():
    for size in ((64, 53), (16, 28)):
        for index in range(12):
            assert SyntheticClips(size=size, frames=2).make(index).rgb.shape == (2, *size, 3)


def test_kinds_of_flow():
    clip = clip_of(2)
    exact = clip_flow(clip, kind="exact", gap=1, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(exact, 2 * clip.flow(1))  # in pixels of twice the sides
    noisy = clip_flow(clip, kind="noisy", gap=1, rng=np.random.default_rng(0))
    assert noisy.shape == exact.shape and np.isfinite(noisy).all() and not np.array_equal(noisy, exact)
    np.testing.assert_array_equal(noisy, noisy_flow(exact, np.random.default_rng(0)))
    with pytest.raises(ValueError, match="flow"):
        clip_flow(clip, kind="perfect", gap=1, rng=np.random.default_rng(0))


def test_estimated_flow_pairs_the_right_frames():
    rgb = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 6, 3), np.uint8)

    def brightness_change(first, second):
        change = second.astype(np.float32) - first
        return change[..., :2]

    flow = estimated_flow(rgb, gap=2, estimator=brightness_change)
    assert flow[:, 0, 0, 0].tolist() == [2, 2, 2, 2, 2]
    assert flow[:, 2, 0, 0].tolist() == [-2, -2, -2, -2, -2]
