"""Everything in a source is taken, or named with the reason; files are read by what the decoder can."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from motion_adapt.storage.checks.verify import clips_to_verify, verify_list
from motion_adapt.storage.clips.find_clips import find_clips
from motion_adapt.storage.clips.media import kind_of
from motion_adapt.storage.clips.videos import open_frames
from tests.storage.media import save_as, save_frames, save_video

FRAMES = ["00000.png", "00001.png", "00002.png"]


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [
        ("00001.MTS", "mpeg2video", "mpegts"),
        ("anim.gif", "gif", None),
        ("old.mpg", "mpeg1video", None),
        ("win.wmv", "wmv2", None),
        ("phone.3gp", "mpeg4", None),
        ("web.flv", "flv", None),
        ("raw.y4m", "wrapped_avframe", "yuv4mpegpipe"),
        ("take.recording", "mpeg4", "matroska"),
        ("no suffix", "mpeg4", "mp4"),
        ("tv.ts", "mpeg2video", "mpegts"),
        ("camera.m2ts", "libx264", "mpegts"),
        ("camera.mod", "mpeg2video", "mpeg"),
        ("a.bin", "mpeg4", "mp4"),
        ("real.rm", "rv10", "rm"),
        ("page.swf", "flv", "swf"),
        ("disc.vob", "mpeg2video", "vob"),
        ("free.ogg", "libvpx", "ogg"),
        ("notes.txt", "mpeg4", "mp4"),
    ],
)
def test_whatever_the_decoder_opens_is_a_clip(
    tmp_path: Path, name: str, codec: str, container: str | None
) -> None:
    save_as(tmp_path / name, codec, container)
    save_video(tmp_path / "good.mp4")
    found = find_clips(tmp_path)
    assert {clip.path.name for clip in found.clips} == {name, "good.mp4"}
    clip = next(clip for clip in found.clips if clip.path.name == name)
    assert len(list(open_frames(clip))) >= 7
    assert find_clips(tmp_path / name).clips[0].kind == "video"
    assert not found.skipped


def test_frames_of_any_format(tmp_path: Path) -> None:
    save_frames(tmp_path, ["000.png", "001.png"])
    for name in ("002.avif", "003.gif", "004.jp2", "005.tga", "006.jfif"):
        Image.fromarray(np.full((96, 128, 3), 90, np.uint8)).save(tmp_path / name, **(
            {"format": "JPEG"} if name.endswith("jfif") else {}
        ))  # fmt: skip
    (clip,) = find_clips(tmp_path).clips
    assert len(clip.files) == 7
    assert kind_of(tmp_path / "003.gif") == "picture"


def test_what_is_not_taken_is_named(tmp_path: Path) -> None:
    save_video(tmp_path / "good.mp4")
    save_frames(tmp_path / "walk", FRAMES)
    (tmp_path / "walk" / "notes.txt").write_text("notes")
    save_frames(tmp_path / "walk" / "masks", FRAMES)
    (tmp_path / "talk.mp3").write_bytes(b"ID3" + bytes(2000))
    (tmp_path / "clip.prproj").write_bytes(bytes(range(256)) * 8)
    (tmp_path / ".hidden").write_text("hidden")
    found = find_clips(tmp_path)
    assert [clip.name for clip in found.clips] == ["good", "walk"]
    neither = "is neither a video nor a picture that can be read"
    assert found.skipped == {
        "clip.prproj": neither,
        "talk.mp3": neither,
        "walk/notes.txt": neither,
        "walk/masks": "is inside a clip",
    }
    findings = verify_list(clips_to_verify(tmp_path), tmp_path)
    assert {Path(item.path).name for item in findings if item.kind == "skipped" and not item.fault} == {
        "clip.prproj", "talk.mp3", "notes.txt", "masks",
    }  # fmt: skip


def test_content_decides_about_suffixes_that_others_use_too(tmp_path: Path) -> None:
    save_video(tmp_path / "good.mp4")
    (tmp_path / "app.ts").write_text("export const answer: number = 42\n" * 200)
    (tmp_path / "song.mod").write_bytes(b"a song".ljust(1080, b"\0") + b"M.K.")
    (tmp_path / "weights.bin").write_bytes(np.random.default_rng(0).bytes(20000))
    (tmp_path / "README").write_text("notes")
    found = find_clips(tmp_path)
    assert [clip.name for clip in found.clips] == ["good"]
    assert sorted(found.skipped) == ["README", "app.ts", "song.mod", "weights.bin"]


def test_what_is_next_to_a_data_sets_folders_is_named(tmp_path: Path) -> None:
    save_frames(tmp_path / "JPEGImages" / "480p" / "mine", FRAMES)
    save_frames(tmp_path / "JPEGImages" / "480p", FRAMES[:1])
    save_frames(tmp_path / "JPEGImages" / "stray", FRAMES)
    save_frames(tmp_path / "Annotations" / "480p" / "mine", FRAMES)
    save_frames(tmp_path / "other", FRAMES)
    save_video(tmp_path / "loose.mp4")
    (tmp_path / "notes.txt").write_text("notes")
    found = find_clips(tmp_path)
    assert [clip.name for clip in found.clips] == ["mine"]
    outside = "is not in JPEGImages/480p, where the clips are"
    assert found.skipped == {
        f"JPEGImages/480p/{FRAMES[0]}": "is a single picture next to clips",
        "JPEGImages/stray": outside,
        "loose.mp4": outside,
        "other": outside,
        "notes.txt": "is neither a video nor a picture that can be read",
    }


def test_everything_inside_a_folder_of_frames_is_named(tmp_path: Path) -> None:
    save_frames(tmp_path, FRAMES)
    save_frames(tmp_path / "old" / "day0" / "walk", FRAMES)
    (tmp_path / "notes.txt").write_text("notes")
    found = find_clips(tmp_path)
    assert found.clips[0].path == tmp_path and len(found.clips[0].files) == len(FRAMES)
    assert found.skipped == {
        "old": "is inside a clip",
        "notes.txt": "is neither a video nor a picture that can be read",
    }


def test_day_folders_of_videos_are_looked_into(tmp_path: Path) -> None:
    for name in ("day0/cam1.mp4", "day1/cam1.mp4", "day1/late/cam2.mp4", "cam1.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        save_video(tmp_path / name)
    (tmp_path / "day1" / "log.txt").write_text("log")
    (tmp_path / "day1" / "round").symlink_to(tmp_path)
    found = find_clips(tmp_path)
    assert [clip.name for clip in found.clips] == ["cam1", "day0-cam1", "day1-cam1", "day1-late-cam2"]
    assert list(found.skipped) == ["day1/log.txt"]


def test_folders_of_frames_that_lie_deeper_are_named(tmp_path: Path) -> None:
    save_video(tmp_path / "a.mp4")
    save_frames(tmp_path / "day0" / "cam1", FRAMES)
    found = find_clips(tmp_path)
    assert [clip.name for clip in found.clips] == ["a"]
    assert found.skipped["day0/cam1"].endswith(f"give {tmp_path / 'day0'} as the source")
    (tmp_path / "a.mp4").unlink()
    with pytest.raises(ValueError, match=r"day0/cam1 is a folder of frames.*Did you mean .*day0\?"):
        find_clips(tmp_path)


def test_results_and_stores_are_no_sources(tmp_path: Path) -> None:
    save_video(tmp_path / "a.mp4")
    for name in ("motion-adapt/results/clips/overlays/a.mp4", "motion-adapt/store/frames/x.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        save_video(tmp_path / name)
    (tmp_path / "motion-adapt/results/clips/.exported").mkdir()
    (tmp_path / "motion-adapt/store/_runs").mkdir()
    found = find_clips(tmp_path)
    assert [clip.name for clip in found.clips] == ["a"]
    assert set(found.skipped.values()) == {"holds results or a store of earlier runs"}
