from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from motion_adapt.storage.clips.find_clips import find_clips
from motion_adapt.storage.clips.videos import frame_rate, open_frames
from motion_adapt.storage.results.overlays import flow_colours, overlay, write_overlay_video
from motion_adapt.storage.results.strips import StageColumn, stage_strip, write_png
from tests.storage.media import picture


def labels(height: int = 36, width: int = 64) -> np.ndarray:
    maps = np.zeros((height, width), np.uint8)
    maps[10:30, 5:25], maps[10:30, 40:60], maps[0, 0] = 1, 2, 255
    return maps


def test_overlay_tints_objects_and_leaves_the_rest() -> None:
    frame = np.full((36, 64, 3), 100, np.uint8)
    drawn = overlay(frame, labels())
    assert drawn[20, 15].tolist() == [114, 50, 50] and drawn[20, 50].tolist() == [50, 114, 50]
    assert (drawn[labels() == 0] == 100).mean() > 0.85  # contours are drawn over the edge
    assert drawn[0, 0].tolist() == [100, 100, 100]
    assert (frame == 100).all()


def test_overlay_stretches_smaller_masks() -> None:
    assert overlay(picture(height=72, width=128), labels()).shape == (72, 128, 3)


def test_flow_colours_follow_middlebury() -> None:
    """Right is red, down yellow, left cyan, up violet; no motion is white."""
    flow = np.array([[[1, 0], [0, 1], [-1, 0], [0, -1], [0, 0]]], np.float32)
    right, down, left, up, still = flow_colours(flow, largest=1.0)[0].tolist()
    assert right == [255, 0, 0] and still == [255, 255, 255]
    assert down[0] > 200 and down[1] > 200 and down[2] == 0
    assert left[0] == 0 and left[2] == 255
    assert up[2] == 255 and up[1] == 0 and up[0] > 50


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_flow_colours_are_pale_for_slow_motion(u: float, v: float) -> None:
    flow = np.array([[[u, v], [u / 10, v / 10]]], np.float32)
    fast, slow = flow_colours(flow)[0].astype(int)
    assert (slow >= fast).all()


@pytest.mark.parametrize("size", [(36, 64), (37, 65)])
def test_overlay_video_plays_in_browsers(tmp_path: Path, size: tuple[int, int]) -> None:
    frames = [picture(index, *size) for index in range(6)]
    maps = [labels(*size)] * 6
    path = tmp_path / "out" / "dog [1].mp4"
    write_overlay_video(path, iter(frames), iter(maps), rate=12.5)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # playable before it is fully loaded
    (clip,) = find_clips(path).clips
    back = list(open_frames(clip))
    assert len(back) == 6 and back[0].shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    assert np.abs(back[3][: size[0], : size[1]].astype(int) - overlay(frames[3], maps[3])).mean() < 12
    assert frame_rate(clip) == 12.5


@pytest.mark.parametrize(
    ("size", "drawn"),
    [
        ((2160, 3840), (1080, 1920)),
        ((3840, 2160), (1920, 1080)),
        ((1080, 1920), (1080, 1920)),
        ((480, 4000), (230, 1920)),
    ],
)
def test_pictures_are_full_hd_at_most(tmp_path: Path, size: tuple[int, int], drawn: tuple[int, int]) -> None:
    labels = np.zeros(size, np.uint8)
    labels[: size[0] // 2] = 1
    write_overlay_video(tmp_path / "clip.mp4", [np.full((*size, 3), 90, np.uint8)] * 2, [labels] * 2)
    with av.open(str(tmp_path / "clip.mp4")) as video:
        frame = next(video.decode(video=0)).to_ndarray(format="rgb24")
    assert frame.shape[:2] == drawn
    assert frame[10, 10, 0] > frame[10, 10, 1] + 20 and abs(int(frame[-10, 10, 0]) - 90) < 8


def test_a_failed_video_leaves_nothing(tmp_path: Path) -> None:
    for frames, maps in (([], []), ([picture()] * 2, [labels()])):
        with pytest.raises(ValueError):
            write_overlay_video(tmp_path / "dog.mp4", frames, maps)
    assert not list(tmp_path.iterdir())


def test_a_full_or_forbidden_disk_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError):
        write_png(tmp_path / "file" / "strip.png", picture())


def column(name: str, **stages: object) -> StageColumn:
    return StageColumn(name, picture(), **stages)  # type: ignore[arg-type]


def test_strip_has_a_row_for_each_stage_that_ran() -> None:
    frames_alone = stage_strip([column("00000"), column("00001")], panel_width=100)
    with_masks = stage_strip([column("00000", final=labels()), column("00001")], panel_width=100)
    assert frames_alone.shape[1] == with_masks.shape[1]
    assert with_masks.shape[0] == frames_alone.shape[0] + round(100 * 36 / 64) + 6


def test_masks_that_sam_refined_are_shown_before_and_after() -> None:
    def strip(**stages: object) -> np.ndarray:
        return stage_strip([column("00000", final=labels(), **stages)], panel_width=100)

    alone, with_prompts, given_ = strip(), strip(before_sam=labels()), strip(given=labels())
    row = 100 * 36 // 64 + 6  # the panel and the gap below it
    assert abs(with_prompts.shape[0] - alone.shape[0] - row) <= 1 and given_.shape == with_prompts.shape
    added = with_prompts.shape[0] - alone.shape[0]
    assert (with_prompts[-added:, :110] != alone[-added:, :110]).any()  # the last row says that SAM made it
    assert np.array_equal(given_[-added:, :110], alone[-added:, :110])


def test_strip_of_every_stage(tmp_path: Path) -> None:
    errors = np.ones((3, 18, 32), np.uint8)
    errors[0, :9], errors[1, 9:] = 0, 2
    everything = column(
        "00000",
        flow=np.ones((18, 32, 2), np.float32),
        proposal=labels(),
        errors=errors,
        exemplar_of=(1, 2),
        corrected=labels(),
        regions=np.arange(7, dtype=np.uint8).repeat(83)[:576].reshape(18, 32),
        final=labels(),
    )
    strip = stage_strip([everything, column("00001", exemplar_of=())])
    assert strip.dtype == np.uint8 and strip.ndim == 3
    for colour in ((232, 48, 62), (20, 126, 240), (240, 176, 0)):  # legends and the exemplar's border
        assert (strip == colour).all(axis=2).any()
    write_png(tmp_path / "strip.png", strip)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "strip.png")), strip)


def test_alpha_regions_show_objects_in_their_colours_and_background_queries_in_greys() -> None:
    regions = np.tile(np.arange(8, dtype=np.uint8).repeat(8), (36, 1))  # 8 queries of 3 objects in stripes
    grey = np.full((36, 64, 3), 128, np.uint8)
    strip = stage_strip([StageColumn("00000", grey, regions=regions)], panel_width=64)
    panel = strip[-16 - 36 : -16, 16 + 124 : 16 + 124 + 64].astype(int)
    stripes = [panel[10:30, 8 * query + 2 : 8 * query + 6].reshape(-1, 3).mean(axis=0) for query in range(8)]
    red, green, yellow = stripes[:3]
    assert red[0] > red[1] + 50 and green[1] > green[0] + 50 and yellow[:2].min() > yellow[2] + 50
    greys = np.array([stripe.mean() for stripe in stripes[3:]])
    assert max(np.ptp(stripe) for stripe in stripes[3:]) == 0
    assert (np.diff(greys) > 10).all()


def test_strip_needs_a_column() -> None:
    with pytest.raises(ValueError, match="at least one column"):
        stage_strip([])
