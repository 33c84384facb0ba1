"""Decoding gives every frame of a clip, or an error that names clip and file."""

import os
import shutil
import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from functools import cache
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from motion_adapt.storage.clips.find_clips import Clip, ClipError, TooFewFrames, find_clips
from motion_adapt.storage.clips.videos import content_digest, frame_rate, open_frames, outline
from tests.storage.media import picture, save_frames, save_video

FRAMES = ["00000.png", "00001.png", "00002.png"]
HUGE = 12000  # pixels per side


@cache
def huge_pixels(row: bytes) -> bytes:
    """Return the deflated pixels of a square picture."""
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(row) for _ in range(HUGE)) + packer.flush()


def huge_png() -> bytes:
    """Return a complete and correct grey picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", HUGE, HUGE, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", huge_pixels(bytes(1 + HUGE)))  # one more byte for the row's filter
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


def huge_tile() -> bytes:
    """Return a grey TIFF of 64x36 pixels, the corner of one deflated tile."""
    tile = huge_pixels(bytes(HUGE))
    tags = {
        256: 64, 257: 36, 258: 8, 259: 8, 262: 1, 277: 1, 322: HUGE, 323: HUGE, 324: 8, 325: len(tile)
    }  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(tile)) + tile + directory


def only_clip(source: Path) -> Clip:
    (clip,) = find_clips(source).clips
    return clip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_frames(tmp_path / "walk", FRAMES)


def refusal(source: Path, **settings: int) -> str:
    with pytest.raises(ClipError) as caught:
        list(open_frames(only_clip(source), **settings))
    assert str(caught.value).startswith("walk: ")
    return caught.value.reason


def test_a_part_without_two_frames_has_no_outline(tmp_path: Path, folder: Path) -> None:
    video = only_clip(save_video(tmp_path / "film.mp4", count=3))
    assert outline(only_clip(folder).part(1)).frames == outline(video.part(1)).frames == 2
    for clip, (start, taken) in product((only_clip(folder), video), {2: 1, 3: "none", 9: "none"}.items()):
        told = rf"needs at least two frames, {taken} of those of {clip.path.name} is taken"
        with pytest.raises(TooFewFrames, match=told):
            outline(clip.part(start))


def test_a_video_that_states_no_number_of_frames_has_an_outline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("motion_adapt.storage.clips.videos.video_outline", lambda clip: (0, 36, 64))
    assert outline(only_clip(save_video(tmp_path / "film.mp4"))).frames == 0


def test_frames_of_a_folder_come_back_exactly(folder: Path) -> None:
    frames = list(open_frames(only_clip(folder)))
    assert [frame.dtype for frame in frames] == [np.uint8] * 3
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame, picture(index))


@pytest.mark.parametrize(
    ("file", "codec"),
    [("walk.mp4", "libx264"), ("walk.avi", "mpeg4"), ("walk.webm", "libvpx"), ("walk.mkv", "libx264")],
)
def test_frames_of_a_video(tmp_path: Path, file: str, codec: str) -> None:
    clip = only_clip(save_video(tmp_path / file, count=5, codec=codec))
    stream = open_frames(clip)
    frames = list(stream)
    assert len(frames) == 5 and not stream.warnings
    for index, frame in enumerate(frames):
        assert frame.flags["C_CONTIGUOUS"]
        assert np.abs(frame.astype(int) - picture(index)).mean() < 12
    assert frame_rate(clip) == 10


def test_a_turned_video_is_shown_upright(tmp_path: Path) -> None:
    """Phones store the rotation in the file's header, and every player applies it."""
    path = save_video(tmp_path / "walk.mp4", count=2)
    upright = list(open_frames(only_clip(path)))
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    turned = list(open_frames(only_clip(path)))
    np.testing.assert_array_equal(turned[0], np.rot90(upright[0], -1))


def test_frames_stream(folder: Path) -> None:
    """Frames are decoded on demand, so a broken one does not hide those before it."""
    (folder / "00002.png").write_bytes(b"broken")
    stream = open_frames(only_clip(folder))
    next(stream), next(stream)
    with pytest.raises(ClipError, match=r"00002.png is not a picture"):
        next(stream)


@pytest.mark.parametrize("source", ["folder", "video"])
def test_limit(tmp_path: Path, folder: Path, source: str) -> None:
    clip = only_clip(folder if source == "folder" else save_video(tmp_path / "walk.mp4", count=3))
    assert len(list(open_frames(clip, limit=2))) == 2
    assert len(list(open_frames(clip, limit=9))) == 3
    with pytest.raises(ValueError, match="at least 2"):
        open_frames(clip, limit=1)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("L", "png"),
        ("L", "jpg"),
        ("LA", "png"),
        ("RGBA", "png"),
        ("P", "png"),
        ("1", "png"),
        ("CMYK", "jpg"),
        ("I;16", "png"),
        ("I;16", "pgm"),
    ],
)
def test_every_kind_of_picture_becomes_rgb(folder: Path, mode: str, suffix: str) -> None:
    (folder / "00001.png").unlink()
    rgb = Image.fromarray(picture(1))
    image = (
        Image.fromarray(picture(1)[..., 1].astype(np.uint16) * 257) if mode == "I;16" else rgb.convert(mode)
    )
    image.save(folder / f"00001.{suffix}", **({"quality": 95} if suffix == "jpg" else {}))
    frame = list(open_frames(only_clip(folder)))[1]
    assert frame.shape == picture().shape
    expected = image.convert("RGB") if mode != "I;16" else Image.fromarray(picture(1)[..., 1]).convert("RGB")
    assert np.abs(frame.astype(int) - np.asarray(expected)).mean() < 3


def test_sixteen_bits_are_scaled_not_wrapped(folder: Path) -> None:
    Image.fromarray(np.full((36, 64), 300, np.uint16)).save(folder / "00001.png")
    assert list(open_frames(only_clip(folder)))[1].max() == 1


def test_exif_orientation_is_ignored(tmp_path: Path) -> None:
    folder = tmp_path / "walk"
    folder.mkdir()
    for index, orientation in enumerate((1, 6)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(picture(index)).save(folder / f"{index}.jpg", exif=exif)
    assert {frame.shape for frame in open_frames(only_clip(folder))} == {(36, 64, 3)}


def test_a_jpeg_cut_short_is_noticed(tmp_path: Path) -> None:
    folder = save_frames(tmp_path / "walk", ["0.jpg", "1.jpg"])
    data = (folder / "1.jpg").read_bytes()
    (folder / "1.jpg").write_bytes(data[: len(data) // 2])
    assert refusal(folder) == "1.jpg is damaged or cut short"


def break_file(kind: str, path: Path) -> None:
    path.unlink()
    match kind:
        case "empty":
            path.touch()
        case "text":
            path.write_text("not a picture")
        case "link":
            path.symlink_to("nowhere")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "script":
            path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 36\n")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("empty", "is empty (zero bytes)"),
        ("text", "is not a picture"),
        ("link", "is a broken link"),
        ("folder", "is a folder, not a file"),
        ("pipe", "is not a regular file"),
        ("script", "is not a picture"),
    ],
)
def test_broken_frames_are_named(folder: Path, kind: str, reason: str) -> None:
    break_file(kind, folder / "00001.png")
    assert refusal(folder) == f"00001.png {reason}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_frame_is_named(folder: Path) -> None:
    (folder / "00001.png").chmod(0)
    assert refusal(folder).startswith("00001.png cannot be read")


def test_the_first_frame_of_another_size_is_named(folder: Path) -> None:
    save_frames(folder, ["00002.png"], height=64, width=36)
    assert refusal(folder) == "00002.png is 36x64, but 00000.png is 64x36"


def test_one_frame_is_too_few(tmp_path: Path) -> None:
    assert "at least two frames" in refusal(save_frames(tmp_path / "walk", ["0.png"]))
    assert "at least two frames" in refusal(save_video(tmp_path / "walk.mp4", count=1))


def test_frames_may_be_too_small(tmp_path: Path) -> None:
    folder = tmp_path / "walk"
    folder.mkdir()
    for index in range(2):
        Image.fromarray(np.zeros((9, 16, 3), np.uint8)).save(folder / f"{index}.png")
    assert "too small" in refusal(folder)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # pytest resets our own filter
@pytest.mark.parametrize("side", [9000, 12000, 60000])
def test_pictures_and_videos_of_absurd_size_are_refused(tmp_path: Path, side: int) -> None:
    folder = save_frames(tmp_path / "walk", FRAMES)
    assert "64x36" in refusal(folder, max_pixels=1000)
    assert "64x36" in refusal(save_video(tmp_path / "walk.mp4"), max_pixels=1000)
    data = bytearray((folder / "00001.png").read_bytes())
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (folder / "00001.png").write_bytes(data)
    assert "pixels" in refusal(folder)


READ = """
import sys
from pathlib import Path
from motion_adapt.storage.clips.find_clips import ClipError, find_clips
from motion_adapt.storage.clips.videos import open_frames

def peak():  # MB
    return next(int(line.split()[1]) for line in open("/proc/self/status") if "VmHWM" in line) / 1024

(clip,), before = find_clips(Path(sys.argv[1])).clips, peak()
try:
    list(open_frames(clip))
except ClipError as error:
    print(f"{peak() - before} {error}")
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("1.png", "1.png is 12000x12000, more than the 67108864 pixels allowed"),
        ("1.tif", "1.tif has tiles of 12000x12000, more than the 67108864 pixels allowed"),
        ("walk.mov", "walk.mov is damaged, or has more than the 67108864 pixels allowed"),
        ("walk.avi", "walk.avi is damaged, or has more than the 67108864 pixels allowed"),
    ],
)
def test_files_that_unpack_to_a_huge_size_are_refused_in_little_memory(
    tmp_path: Path, file: str, reason: str
) -> None:
    """Each file holds 144 MB of pixels in less than a megabyte per frame."""
    if file.startswith("1."):
        path = save_frames(tmp_path / "walk", ["0.png"]) / file
        path.write_bytes(huge_png() if file == "1.png" else huge_tile())
        source = path.parent
    else:
        source = tmp_path / file
        with av.open(str(source), "w") as container:
            stream = container.add_stream("png", rate=10)
            stream.width, stream.height, stream.pix_fmt = HUGE, HUGE, "gray"
            for index in range(2):
                packet = av.Packet(huge_png())
                packet.stream, packet.time_base = stream, Fraction(1, 10)
                packet.pts = packet.dts = index
                container.mux(packet)
    done = subprocess.run([sys.executable, "-c", READ, str(source)], capture_output=True, text=True)
    megabytes, told = done.stdout.strip().split(" ", 1)
    assert told == f"walk: {reason}"
    assert float(megabytes) < 64


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "no index", "playlist"])
def test_videos_that_do_not_open(tmp_path: Path, kind: str) -> None:
    path = save_video(tmp_path / "walk.mp4")
    data = path.read_bytes()
    other = save_video(tmp_path / "elsewhere" / "other.mp4")
    path.write_bytes(
        {
            "empty": b"",
            "text": b"hello video",
            "cut": data[: len(data) // 2],
            "no index": data[: data.index(b"moov") - 4],
            "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{other}\n".encode(),
        }[kind]
    )
    assert refusal(path).startswith("walk.mp4 is ")


def test_a_damaged_video_never_ends_without_a_warning(tmp_path: Path) -> None:
    """If fewer frames are decoded than the header states, there is an error or at least a warning."""
    path = save_video(tmp_path / "walk.mp4", count=8, codec="mpeg4")
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4 + (len(data) - data.index(b"mdat")) // 4
    data[start : start + 400] = bytes(400)
    path.write_bytes(data)
    stream = open_frames(only_clip(path))
    try:
        count = len(list(stream))
    except ClipError as error:
        assert "walk.mp4" in error.reason
    else:
        assert count == 8 or "claims 8 frames" in stream.warnings[0]


def test_a_stream_cut_short_is_noticed_by_its_duration(tmp_path: Path) -> None:
    """Matroska and WebM do not count frames; their header states a duration."""
    path = save_video(tmp_path / "walk.mkv", count=60)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    stream = open_frames(only_clip(path))
    assert 2 < len(list(stream)) < 50
    assert "claims to last 6.0 s" in stream.warnings[0]


@pytest.mark.parametrize("file", ["walk.mp4", "walk.avi", "walk.mkv", "walk.jpg", "walk.png"])
def test_damage_anywhere_ends_in_frames_or_in_a_clip_error(tmp_path: Path, file: str) -> None:
    suffix = Path(file).suffix
    if suffix in (".jpg", ".png"):
        path = save_frames(tmp_path / "walk", ["0" + suffix, "1" + suffix]) / f"1{suffix}"
    else:
        path = save_video(tmp_path / file, count=3)
    clip, whole = only_clip(path.parent if path.parent.name == "walk" else path), path.read_bytes()
    dice = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(whole)
        at = int(dice.integers(0, len(data) - 8))
        data[at : at + 8] = dice.bytes(8)
        path.write_bytes(data[: dice.integers(1, len(data))] if dice.random() < 0.2 else data)
        try:
            for frame in open_frames(clip, max_pixels=10**6):
                assert frame.dtype == np.uint8 and frame.shape[2] == 3
        except ClipError as error:
            assert path.name in error.reason


def test_digest_is_that_of_the_content(tmp_path: Path, folder: Path) -> None:
    digest = content_digest(only_clip(folder))
    copy = tmp_path / "copied"
    copy.mkdir()
    for index, name in enumerate(FRAMES):
        shutil.copy(folder / name, copy / f"renamed_{index}.png")
    assert content_digest(only_clip(copy)) == digest
    assert content_digest(only_clip(folder), limit=3) == digest
    assert content_digest(only_clip(folder), limit=2) != digest
    shutil.copy(folder / FRAMES[0], folder / FRAMES[2])
    assert content_digest(only_clip(folder)) != digest
    assert content_digest(only_clip(folder), limit=2) == content_digest(only_clip(copy), limit=2)


def test_digest_depends_on_order_and_on_where_files_end(tmp_path: Path) -> None:
    def digest(name: str, *contents: bytes) -> str:
        (tmp_path / name).mkdir()
        for index, content in enumerate(contents):
            (tmp_path / name / f"{index}.png").write_bytes(content)
        return content_digest(only_clip(tmp_path / name))

    digests = {
        digest("a", b"1", b"23"),
        digest("b", b"12", b"3"),
        digest("c", b"23", b"1"),
        digest("d", b"123"),
    }
    assert len(digests) == 4


def test_digest_of_a_video(tmp_path: Path) -> None:
    path = save_video(tmp_path / "walk.mp4")
    digest = content_digest(only_clip(path))
    moved = tmp_path / "other.MP4"
    path.rename(moved)
    assert content_digest(only_clip(moved)) == digest
    assert content_digest(only_clip(moved), limit=2) != digest


def test_digest_names_what_it_cannot_read(folder: Path) -> None:
    break_file("link", folder / "00001.png")
    with pytest.raises(ClipError, match=r"walk: 00001.png is a broken link"):
        content_digest(only_clip(folder))
