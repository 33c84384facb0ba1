"""Clips that are found in a source, set aside, or refused."""

import os
import pickle
from pathlib import Path

import pytest

from motion_adapt.storage.clips.find_clips import ClipError, find_clips
from tests.storage.media import save_frames, save_video

FRAMES = ["00000.png", "00001.png", "00002.png"]


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """Write a data set of clips a, b and c, with annotations and splits."""
    for name in "abc":
        save_frames(tmp_path / "JPEGImages" / "480p" / name, FRAMES)
    (tmp_path / "Annotations" / "480p" / "a").mkdir(parents=True)
    (tmp_path / "ImageSets" / "2016").mkdir(parents=True)
    (tmp_path / "ImageSets" / "2016" / "val.txt").write_text("a\nc\n")
    return tmp_path


def names(source: Path, **choice: object) -> list[str]:
    return [clip.name for clip in find_clips(source, **choice).clips]  # type: ignore[arg-type]


def test_one_video(tmp_path: Path) -> None:
    (clip,) = find_clips(save_video(tmp_path / "walk.MP4")).clips
    assert (clip.name, clip.kind, clip.frame_names(2)) == ("walk", "video", ("00000", "00001"))


def test_a_folder_of_frames(tmp_path: Path) -> None:
    (clip,) = find_clips(save_frames(tmp_path / "walk", ["f9.png", "f10.PNG", "f1.png"])).clips
    assert (clip.name, clip.kind) == ("walk", "frames")
    assert clip.frame_names(3) == ("f1", "f9", "f10")
    assert clip.frame_names(2) == ("f1", "f9")


def test_the_folder_one_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(save_frames(tmp_path / "walk", FRAMES))
    (clip,) = find_clips(Path()).clips
    assert clip.name == "walk"
    assert clip.path.is_absolute()


def test_a_folder_of_clips(tmp_path: Path) -> None:
    save_frames(tmp_path / "clip10", FRAMES)
    save_frames(tmp_path / "clip9", FRAMES)
    save_video(tmp_path / "clip1.mp4")
    (tmp_path / "notes.txt").write_text("not a clip")
    (tmp_path / ".cache").mkdir()
    assert names(tmp_path) == ["clip1", "clip9", "clip10"]


def test_stray_files_are_no_frames(tmp_path: Path) -> None:
    save_frames(tmp_path, FRAMES)
    for stray in ("Thumbs.db", ".DS_Store", "notes.txt"):
        (tmp_path / stray).write_text("stray")
    save_frames(tmp_path, ["._00000.png"])
    (clip,) = find_clips(tmp_path).clips
    assert [file.name for file in clip.files] == FRAMES


def test_folders_inside_a_folder_of_frames_are_ignored_with_a_warning(tmp_path: Path) -> None:
    save_frames(tmp_path / "walk", FRAMES)
    save_frames(tmp_path / "walk" / "masks", FRAMES)
    found = find_clips(tmp_path / "walk")
    assert [clip.name for clip in found.clips] == ["walk"]
    assert "masks" in found.warnings[0]


def test_clips_that_share_a_name_are_distinguished(tmp_path: Path) -> None:
    save_frames(tmp_path / "a", FRAMES)
    for file in ("a.mp4", "A.avi", "b.mp4"):
        save_video(tmp_path / file)
    assert sorted(names(tmp_path)) == ["A.avi", "a", "a.mp4", "b"]
    assert names(tmp_path, only=["a"]) == ["a"]
    assert names(tmp_path, only=["a.mp4"]) == ["a.mp4"]


def test_davis_layout(davis: Path) -> None:
    found = find_clips(davis)
    assert [clip.name for clip in found.clips] == ["a", "b", "c"]
    assert found.annotations == davis / "Annotations" / "480p"


@pytest.mark.parametrize("images", ["JPEGImages/Full-Resolution", "JPEGImages"])
def test_other_resolutions(tmp_path: Path, images: str) -> None:
    save_frames(tmp_path / images / "a", FRAMES)
    found = find_clips(tmp_path)
    assert [clip.name for clip in found.clips] == ["a"]
    assert found.annotations is None


def test_annotations_are_located_without_being_opened(davis: Path) -> None:
    (davis / "Annotations" / "480p" / "a" / "00000.png").write_text("no picture")
    with_annotations = find_clips(davis)
    assert with_annotations.clips == find_clips(davis / "JPEGImages" / "480p").clips


def test_split(davis: Path) -> None:
    assert names(davis, split="2016/val") == ["a", "c"]


def test_split_of_image_pairs(davis: Path) -> None:
    pair = "/JPEGImages/480p/{0}/00000.png /Annotations/480p/{0}/00000.png\n"
    (davis / "ImageSets" / "val.txt").write_text(pair.format("b") + pair.format("b") + pair.format("c"))
    assert names(davis, split="val") == ["b", "c"]


def test_messy_split(davis: Path) -> None:
    messy = b"\xef\xbb\xbfa\r\n\r\n  c  \r\n# comment\r\na\r\n../../outside\r\n/etc\r\nabsent\r\n"
    (davis / "ImageSets" / "messy.txt").write_bytes(messy)
    found = find_clips(davis, split="messy")
    assert [clip.name for clip in found.clips] == ["a", "c"]
    reasons = {entry.name: entry.reason for entry in found.set_aside}
    assert "refused" in reasons["../../outside"] and "refused" in reasons["/etc"]
    assert "no such folder" in reasons["absent"]


@pytest.mark.parametrize("split", ["val", "../ImageSets/2016/val", "2016", ""])
def test_unknown_split_lists_those_there_are(davis: Path, split: str) -> None:
    with pytest.raises(ValueError, match="there are: 2016/val"):
        find_clips(davis, split=split)


def test_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    for name in ("horsejump-high", "dog"):
        save_frames(tmp_path / name, FRAMES)
    with pytest.raises(ValueError, match="did you mean 'horsejump-high'"):
        find_clips(tmp_path, only=["horsejump"])


def test_unusable_sources_say_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "deep" / "empty").mkdir(parents=True)
    for source in (tmp_path / "nowhere", tmp_path / "notes.txt", tmp_path, tmp_path / "deep"):
        with pytest.raises(ValueError, match="give a video file") as caught:
            find_clips(source)
        assert str(source) in str(caught.value)


def test_clips_in_deeper_folders_are_suggested(tmp_path: Path) -> None:
    save_frames(tmp_path / "DAVIS" / "JPEGImages" / "480p" / "a", FRAMES)
    with pytest.raises(ValueError, match=r"Did you mean .*DAVIS\?"):
        find_clips(tmp_path)


def test_one_empty_folder_stops_no_other(davis: Path) -> None:
    (davis / "JPEGImages" / "480p" / "empty").mkdir()
    found = find_clips(davis)
    assert len(found.clips) == 3
    assert [(entry.name, entry.reason) for entry in found.set_aside] == [("empty", "no frames in empty")]
    assert not find_clips(davis, only=["empty"]).clips


def test_two_files_for_one_frame(davis: Path) -> None:
    save_frames(davis / "JPEGImages" / "480p" / "b", ["00001.jpg"])
    found = find_clips(davis)
    assert [clip.name for clip in found.clips] == ["a", "c"]
    assert "00001.jpg and 00001.png" in found.set_aside[0].reason


def test_broken_links_and_loops(davis: Path) -> None:
    images = davis / "JPEGImages" / "480p"
    (images / "gone").symlink_to("nowhere")
    (images / "loop").symlink_to("loop")
    (images / "around").symlink_to(".")
    (images / "a" / "inner").symlink_to(".")
    found = find_clips(davis)
    assert [clip.name for clip in found.clips] == ["a", "b", "c"]
    assert {entry.name for entry in found.set_aside} == {"gone", "loop", "around"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_folder(davis: Path) -> None:
    closed = davis / "JPEGImages" / "480p" / "b"
    closed.chmod(0)
    try:
        found = find_clips(davis)
    finally:
        closed.chmod(0o755)
    assert [clip.name for clip in found.clips] == ["a", "c"]
    assert "cannot be read" in found.set_aside[0].reason


@pytest.mark.parametrize("name", ["été sequence (1) ünï日本", "x" * 125, "a [b] 'c' $d"])
def test_unusual_names_are_kept(tmp_path: Path, name: str) -> None:
    save_frames(tmp_path / "JPEGImages" / "480p" / name, FRAMES)
    assert names(tmp_path) == [name]


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    raw = os.fsdecode(b"bad\xff\xfename")
    try:
        save_frames(tmp_path / "JPEGImages" / "480p" / raw, FRAMES)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets" / "val.txt").write_bytes(b"bad\xff\xfename\n")
    (clip,) = find_clips(tmp_path, split="val").clips
    assert clip.name == "bad%FF%FEname"
    str(clip.name).encode()
    with pytest.raises(ValueError) as caught:
        find_clips(tmp_path / raw)
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("numbers", "warned"),
    [((0, 1, 4, 5), "00001.png and 00004.png"), ((0, 5, 10), None), ((1, 2, 3), None), ((7,), None)],
)
def test_numbering_gap(tmp_path: Path, numbers: tuple[int, ...], warned: str | None) -> None:
    found = find_clips(save_frames(tmp_path, [f"{number:05d}.png" for number in numbers]))
    assert len(found.warnings) == (warned is not None)
    assert warned is None or warned in found.warnings[0]


@pytest.mark.parametrize(
    ("files", "warned"),
    [
        (("20240105_100058", "20240105_100059", "20240105_100100"), None),
        (("cam 2024-01-05T10-00-58.033", "cam 2024-01-05T10-00-58.066", "cam 2024-01-05T10-00-59.100"), None),
        (("10-00-59", "10-01-00", "10-01-01"), None),
        (("1693526400033", "1693526400066", "1693526400100"), None),
        (("1714557607", "1714557608", "1714557612"), None),
        (("01-05-2024 10.00.07", "01-05-2024 10.00.08", "01-05-2024 10.00.12"), None),
        (("cam_5.1.2024_9-0-7", "cam_5.1.2024_9-0-8", "cam_5.1.2024_9-0-12"), None),
        (("1 May 2024 at 10.00.07 AM", "1 May 2024 at 10.00.08 AM", "1 May 2024 at 10.00.12 AM"), None),
        (
            ("shot 2024-5-1 0007", "shot 2024-5-1 0008", "shot 2024-5-1 0012"),
            "0008.png and shot 2024-5-1 0012",
        ),
        (("0000000007", "0000000008", "0000000012"), "0000000008.png and 0000000012.png"),
        (
            ("20240105_100058_01", "20240105_100058_02", "20240105_100058_05"),
            "_02.png and 20240105_100058_05",
        ),
        (("a (copy) 1", "a (copy) 2", "a (copy) 4"), "2.png and a (copy) 4.png"),
    ],
)
def test_a_date_and_time_is_no_counter(tmp_path: Path, files: tuple[str, ...], warned: str | None) -> None:
    found = find_clips(save_frames(tmp_path, [f"{file}.png" for file in files]))
    assert len(found.warnings) == (warned is not None)
    assert warned is None or warned in found.warnings[0]


def test_names_with_commas(tmp_path: Path) -> None:
    for name in ("a", "b", "a,b", "c"):
        save_frames(tmp_path / name, FRAMES)
    save_video(tmp_path / "d, e.mp4")
    assert names(tmp_path, only=["a,b"]) == ["a,b"]
    assert names(tmp_path, only=["a, c"]) == ["a", "c"]
    assert names(tmp_path, only=["b", "d, e.mp4"]) == ["b", "d, e"]
    with pytest.raises(ValueError, match="no clip 'x'"):
        find_clips(tmp_path, only=["a,x"])


def test_clip_errors_survive_a_worker() -> None:
    error = pickle.loads(pickle.dumps(ClipError("dog", "00001.jpg is empty")))
    assert (error.clip, error.reason, str(error)) == ("dog", "00001.jpg is empty", "dog: 00001.jpg is empty")


@pytest.mark.parametrize("only", [(), ("a",)])
def test_a_split_that_names_no_clip_is_refused(davis: Path, only: tuple[str, ...]) -> None:
    (davis / "ImageSets" / "2016" / "val.txt").write_text("# none yet\n\n")
    with pytest.raises(ValueError, match=r"val\.txt names no clip"):
        find_clips(davis, split="2016/val", only=only)


def test_a_selection_that_names_no_clip_is_refused(davis: Path) -> None:
    with pytest.raises(ValueError, match="' ,' names no clip of"):
        find_clips(davis, only=[" ,"])


def test_folders_of_frames_named_like_pictures_are_clips(tmp_path: Path) -> None:
    for name in ("a.gif", "b.png"):
        save_frames(tmp_path / name, FRAMES)
    assert names(tmp_path) == ["a.gif", "b.png"]
    (tmp_path / "a.gif" / "00003.png").mkdir()  # a damaged frame
    assert len(find_clips(tmp_path, only=["a.gif"]).clips[0].files) == 4
