"""Native frames are read from the source, checked, and refused if they are not the frames that were decoded first."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster
from PIL import Image

from motion_adapt.storage.artifacts.files import DamagedArtifact
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.clips.find_clips import Clip, find_clips
from motion_adapt.storage.clips.source_frames import SourceFrames, SourceLost
from motion_adapt.storage.clips.videos import content_digest, open_frames
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.frames import decode, keep_native
from motion_adapt.tasks.native_frames import DIGESTS, native_frames
from motion_adapt.tasks.runtime.place import Place
from tests.storage.conftest import bucket  # noqa: F401 - a fixture
from tests.storage.media import save_frames, save_video

FRAMES = 7


@dataclass
class Decoded:
    """A clip, its artifact, and its frames as they were decoded at first."""

    path: Path
    place: Place
    frames: Artifact
    pixels: np.ndarray

    @property
    def clip(self) -> Clip:
        return find_clips(self.path).clips[0]

    @property
    def store(self) -> ArtifactStore:
        return self.place.open()

    def native(self) -> np.ndarray:
        return np.asarray(native_frames(self.store, self.frames, self.clip)[:])

    def copy(self) -> Artifact:
        made: Artifact = keep_native.make(self.frames, clip=self.clip, place=self.place)
        return made


def decoded(path: Path, store: str, *, limit: int | None = None) -> Decoded:
    (clip,) = find_clips(path).clips
    place = Place(store=store, scratch=str(path.parent / "scratch"), device="cpu", threads=1)
    made = decode.make(content=content_digest(clip, limit=limit), limit=limit, clip=clip, place=place)
    return Decoded(path, place, made, np.stack(list(open_frames(clip, limit=limit))))


def make(kind: str, folder: Path) -> Path:
    if kind == "video":
        return save_video(folder / "walk.mp4", FRAMES)
    return save_frames(folder / "walk", [f"{index}.png" for index in range(FRAMES)])


@pytest.fixture(params=["pictures", "video"])
def work(request: pytest.FixtureRequest, tmp_path: Path) -> Decoded:
    return decoded(make(request.param, tmp_path), str(tmp_path / "store"))


ROWS = [
    slice(None), slice(2, 5), slice(5, 1, -2), slice(3, 3), 4, -1, [6, 0, 3], [2, 2], slice(0, FRAMES, 3),
]  # fmt: skip


def test_any_frames_in_any_order(work: Decoded) -> None:
    native = native_frames(work.store, work.frames, work.clip)
    assert (native.shape, native.dtype, len(native)) == (work.pixels.shape, np.uint8, FRAMES)
    for rows in ROWS:
        np.testing.assert_array_equal(native[rows], work.pixels[rows])
    with pytest.raises(IndexError):
        native[[FRAMES]]


def test_the_store_has_no_copy(work: Decoded) -> None:
    manifest = work.store.manifest(work.frames)
    assert {name.split("/")[0] for name in manifest.files} == {"rgb", "zarr.json", DIGESTS}


def test_a_pruned_run_reads_its_first_frames(tmp_path: Path) -> None:
    few = decoded(make("pictures", tmp_path), str(tmp_path / "store"), limit=3)
    np.testing.assert_array_equal(few.native(), few.pixels)
    assert len(few.pixels) == 3


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def change(path: Path) -> None:
    """Change the last frame of a folder, or replace a video by another one."""
    if path.is_dir():
        Image.fromarray(np.zeros((36, 64, 3), np.uint8)).save(path / f"{FRAMES - 1}.png")
    else:
        save_video(path, FRAMES, codec="mpeg4")


def cut(path: Path) -> None:
    """Cut the last picture, or the video, short."""
    file = path / f"{FRAMES - 1}.png" if path.is_dir() else path
    file.write_bytes(file.read_bytes()[:-300])


@pytest.mark.parametrize("how", [remove, change, cut])
def test_a_lost_source_is_an_error_that_names_clip_and_setting(
    work: Decoded, how: Callable[[Path], None]
) -> None:
    native = native_frames(work.store, work.frames, work.clip)
    how(work.path)
    with pytest.raises(SourceLost, match=r"^walk: .*frames\.keep=native"):
        native[:]
    assert len(work.store.open(work.frames).array("rgb")[:]) == FRAMES  # what the store has is served


def test_a_source_that_came_back_is_read_again(work: Decoded, tmp_path: Path) -> None:
    native = native_frames(work.store, work.frames, work.clip)
    away = work.path.rename(tmp_path / "away")
    with pytest.raises(SourceLost, match="does not exist"):
        native[:]
    away.rename(work.path)
    np.testing.assert_array_equal(native[:], work.pixels)


def test_a_renamed_source_is_the_same_clip(work: Decoded) -> None:
    work.path = work.path.rename(work.path.with_name(f"run{work.path.suffix}"))
    again = decode.make(content=content_digest(work.clip), limit=None, clip=work.clip, place=work.place)
    assert again == work.frames
    np.testing.assert_array_equal(work.native(), work.pixels)


def test_another_decoder_damages_the_artifact(work: Decoded) -> None:
    """The files are those of the key, but frame 2 decodes to other pixels than those of the artifact."""
    reader = work.store.open(work.frames)
    digests = bytearray(reader.read(DIGESTS))
    digests[32] ^= 1
    other = SourceFrames(
        work.clip,
        shape=work.pixels.shape,
        digests=bytes(digests),
        content=content_digest(work.clip),
        limit=None,
        damaged=reader.damaged,
    )
    np.testing.assert_array_equal(other[:2], work.pixels[:2])
    with pytest.raises(DamagedArtifact, match="frame 2 of walk decodes to other pixels"):
        other[2]
    with pytest.raises(DamagedArtifact, match="manifest is gone"):  # withdrawn: it is decoded again
        work.store.open(work.frames)


def test_damaged_digests_are_noticed(work: Decoded) -> None:
    manifest = work.store.manifest(work.frames)
    file = Path(work.store.prefix(manifest)) / DIGESTS
    file.write_bytes(bytes(len(file.read_bytes())))
    assert [fault for _, fault in work.store.verify()] == [f"{DIGESTS} has other bytes than were published"]
    with pytest.raises(DamagedArtifact, match=DIGESTS):
        work.native()


def test_a_copy_in_the_store_outlives_the_source(work: Decoded) -> None:
    clip = work.clip
    copies = work.copy()
    assert not list(work.store.verify())
    remove(work.path)
    np.testing.assert_array_equal(native_frames(work.store, work.frames, clip)[:], work.pixels)
    file = next(Path(work.store.prefix(work.store.manifest(copies))).glob("native/c/0/*/*/*"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(SourceLost):  # a damaged copy is none
        native_frames(work.store, work.frames, clip)[:]


def test_no_copy_is_made_of_a_source_that_changed(work: Decoded) -> None:
    change(work.path)
    with pytest.raises(SourceLost):
        work.copy()
    assert not list(work.store.manifests("native-frames"))


def test_a_store_on_s3_and_a_video_here(bucket: str, tmp_path: Path) -> None:  # noqa: F811
    work = decoded(make("video", tmp_path), f"{bucket}/native")
    np.testing.assert_array_equal(work.native(), work.pixels)
    work.copy()
    np.testing.assert_array_equal(work.native(), work.pixels)


def first_and_last(store: str, frames: Artifact, clip: Clip) -> np.ndarray:
    return native_frames(ArtifactStore(store), frames, clip)[[0, -1]]


def test_workers_of_a_cluster_read_the_source_and_name_it_if_they_cannot(work: Decoded) -> None:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        given = work.place.store, work.frames, work.clip
        np.testing.assert_array_equal(
            client.submit(first_and_last, *given, pure=False).result(), work.pixels[[0, -1]]
        )
        remove(work.path)
        with pytest.raises(SourceLost, match=r"^walk: .*does not exist.*frames\.keep=native"):
            client.submit(first_and_last, *given, pure=False).result()
