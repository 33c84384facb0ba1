from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from motion_adapt.storage.clips.find_clips import find_clips
from motion_adapt.storage.labels.annotations import AnnotationError, Annotations, open_annotations
from tests.storage.media import save_frames, save_video

SIZE = (36, 64)


def annotate(folder: Path, *names: str, value: int = 255, size: tuple[int, int] = SIZE) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.full(size, value, np.uint8)).save(folder / f"{name}.png")


def annotations(root: Path, count: int = 3) -> Annotations:
    source = root / "frames" / "dog"
    save_frames(source, [f"{index:05d}.png" for index in range(count)])
    (clip,) = find_clips(source).clips
    return open_annotations(root / "masks", clip, clip.frame_names(count), size=SIZE)


def test_labels_by_frame(tmp_path: Path) -> None:
    annotate(tmp_path / "masks" / "dog", "00000", "00001", "00002")
    read = annotations(tmp_path)
    assert [(frame, labels.max()) for frame, labels in read] == [("00000", 1), ("00001", 1), ("00002", 1)]
    assert not read.warnings


def test_sparse_annotations_and_masks_without_a_frame(tmp_path: Path) -> None:
    annotate(tmp_path / "masks" / "dog", "00001", "00009")
    read = annotations(tmp_path)
    assert read.frames == ("00001",)
    missing, extra = read.warnings
    assert "00000.png, 00002.png missing" in missing and "00009.png without a frame" in extra


def test_nothing_is_opened_before_it_is_read(tmp_path: Path) -> None:
    annotate(tmp_path / "masks" / "dog", "00000", "00001")
    (tmp_path / "masks" / "dog" / "00001.png").write_bytes(b"")
    read = annotations(tmp_path)
    read.read("00000")
    with pytest.raises(AnnotationError, match=r"annotations of dog: 00001.png is empty"):
        read.read("00001")


def test_other_sizes_are_refused(tmp_path: Path) -> None:
    annotate(tmp_path / "masks" / "dog", "00000", size=(18, 32))
    with pytest.raises(AnnotationError, match=r"00000.png is 32x18, its frame is 64x36"):
        annotations(tmp_path).read("00000")


def test_grey_levels_warn_once(tmp_path: Path) -> None:
    folder = tmp_path / "masks" / "dog"
    folder.mkdir(parents=True)
    for index in range(3):
        Image.fromarray(np.tile(np.arange(0, 256, 4, dtype=np.uint8), (36, 1))).save(
            folder / f"{index:05d}.png"
        )
    read = annotations(tmp_path)
    assert all(labels.max() == 1 for _, labels in read)
    (warning,) = read.warnings
    assert "00000.png has grey levels" in warning


def test_no_annotations(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="there is no folder"):
        annotations(tmp_path)
    annotate(tmp_path / "masks" / "dog", "elsewhere")
    with pytest.raises(AnnotationError, match=r"no mask in .* is named like a frame"):
        annotations(tmp_path)


def test_annotations_of_a_video(tmp_path: Path) -> None:
    (clip,) = find_clips(save_video(tmp_path / "dog.mp4")).clips
    annotate(tmp_path / "masks" / "dog", "00003")
    assert open_annotations(tmp_path / "masks", clip, clip.frame_names(5), size=SIZE).frames == ("00003",)
