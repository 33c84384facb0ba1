"""A video whose file ends early is noticed, as far as its format allows."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from motion_adapt.storage.clips.find_clips import ClipError, find_clips
from motion_adapt.storage.clips.videos import frame_rate, open_frames, outline
from tests.storage.media import picture, save_as


def decode(path: Path) -> tuple[int, list[str]]:
    """Return the number of frames of the only clip, and its warnings."""
    (clip,) = find_clips(path).clips
    stream = open_frames(clip)
    return len(list(stream)), stream.warnings


FORMATS = {
    "a.ts": ("mpeg2video", "mpegts", {}),
    "a.mts": ("libx264", "mpegts", {"mpegts_m2ts_mode": "1"}),
    "a.ogv": ("libvpx", "ogg", {}),
    "a.y4m": ("wrapped_avframe", "yuv4mpegpipe", {}),
    "a.swf": ("flv", "swf", {}),
    "a.gif": ("gif", "gif", {}),
    "a.mkv": ("mpeg4", "matroska", {}),
    "a.webm": ("libvpx", "webm", {}),
    "a.mp4": ("libx264", "mp4", {"movflags": "frag_keyframe+empty_moov"}),
    "a.mpg": ("mpeg2video", "mpeg", {}),
    "a.flv": ("flv", "flv", {}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_video_that_is_cut_short_is_noticed(tmp_path: Path, name: str) -> None:
    codec, container, options = FORMATS[name]
    data = save_as(tmp_path / name, codec, container, count=30, **options).read_bytes()
    assert decode(tmp_path / name) == (30, [])
    part = 0.95 if name != "a.mpg" else 0.4  # the stream is short, and much of it is padding
    (tmp_path / name).write_bytes(data[: int(len(data) * part) | 1])
    try:
        count, warnings = decode(tmp_path / name)
    except ClipError as error:
        assert "damaged" in error.reason
    else:
        assert len(warnings) == 1 and warnings[0].startswith(f"a: {name} ")
        assert 1 < count < 30 or "probably cut short" in warnings[0]


STACKS = {
    "a.webp": {"lossless": True, "duration": 100},
    "a.png": {"duration": 100},
    "a.apng": {"duration": 100, "format": "PNG"},
    "still first.png": {"default_image": True},
    "a.tif": {},
    "a.avif": {"duration": 100, "quality": 100, "subsampling": "4:4:4"},
    "without times.gif": {},
}


@pytest.mark.parametrize("name", STACKS)
def test_an_animated_picture_is_a_clip_of_its_own(tmp_path: Path, name: str) -> None:
    pictures = [Image.fromarray(picture(index)) for index in range(6)]
    for other in ("1 " + name, "2 " + name):
        first = pictures[:1] if "still" in name else []
        pictures[0].save(tmp_path / other, save_all=True, append_images=first + pictures[1:], **STACKS[name])
    found = find_clips(tmp_path)
    assert [(clip.kind, clip.path.name) for clip in found.clips] == [
        ("video", "1 " + name),
        ("video", "2 " + name),
    ]
    frames = list(open_frames(found.clips[1]))
    assert len(frames) == 6
    for index, frame in enumerate(frames):
        assert np.abs(frame.astype(int) - picture(index)).mean() < (6 if "gif" in name else 2)
    part = found.clips[1].part(1, 6, 2)
    assert [np.array_equal(*pair) for pair in zip(open_frames(part), frames[1::2], strict=True)] == [True] * 3
    (tmp_path / ("1 " + name)).unlink()
    data = (tmp_path / ("2 " + name)).read_bytes()
    (tmp_path / ("2 " + name)).write_bytes(data[: int(len(data) * 0.8)])
    with pytest.raises(ClipError, match="is damaged or cut short"):
        decode(tmp_path / ("2 " + name))


def test_what_animated_pictures_state_is_read_without_decoding(tmp_path: Path) -> None:
    pictures = [Image.fromarray(picture(index)) for index in range(3)]
    for name, options in (("a.tif", {}), ("b.webp", {"duration": 40}), ("c.png", {"duration": 50})):
        pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], **options)
    found = find_clips(tmp_path).clips
    assert [(outline(clip).frames, outline(clip).height, frame_rate(clip)) for clip in found] == [
        (3, 36, None),
        (3, 36, 25.0),
        (3, 36, 20.0),
    ]


def test_thumbnails_and_masks_make_no_stack(tmp_path: Path) -> None:
    small = Image.fromarray(picture(0)).resize((32, 18))
    for index in range(3):
        frame = Image.fromarray(picture(index))
        frame.save(tmp_path / f"{index}.tif", save_all=True, append_images=[small])
    (clip,) = find_clips(tmp_path).clips
    assert clip.kind == "frames" and len(list(open_frames(clip))) == 3
