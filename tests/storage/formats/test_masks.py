import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from motion_adapt.storage.formats.images import PictureError
from motion_adapt.storage.formats.masks import davis_palette, decode_labels, read_masks, write_masks

NAMES = ("00000", "00001")


def maps(value: int = 1, count: int = 2) -> list[np.ndarray]:
    return [np.full((6, 8), value, np.uint8) for _ in range(count)]


def test_the_palette_is_the_one_of_davis() -> None:
    expected = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128)]
    assert [tuple(colour) for colour in davis_palette()[:6].tolist()] == expected
    assert davis_palette()[255].tolist() == [224, 224, 192]


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_labels_come_back_as_they_went_in(
    tmp_path_factory: pytest.TempPathFactory, labels: np.ndarray
) -> None:
    folder = tmp_path_factory.mktemp("masks")
    write_masks(folder, "clip", ["00000"], [labels])
    (back,) = read_masks(folder, "clip", ["00000"])
    np.testing.assert_array_equal(back, labels)


def test_files_are_indexed_png_in_davis_layout(tmp_path: Path) -> None:
    assert write_masks(tmp_path / "out", "dog", NAMES, maps(2)) == tmp_path / "out" / "dog"
    image = Image.open(tmp_path / "out" / "dog" / "00001.png")
    assert image.mode == "P"
    assert image.convert("RGB").getpixel((0, 0)) == (0, 128, 0)


def test_an_earlier_export_is_replaced_whole(tmp_path: Path) -> None:
    write_masks(tmp_path, "dog", ["a", "b", "c"], maps(1, 3))
    write_masks(tmp_path, "dog", NAMES, maps(2))
    assert sorted(path.name for path in (tmp_path / "dog").iterdir()) == ["00000.png", "00001.png"]
    assert [path.name for path in tmp_path.iterdir()] == ["dog"]


def breaks_after_one() -> Iterator[np.ndarray]:
    yield maps()[0]
    raise RuntimeError("the model failed")


@pytest.mark.parametrize(
    "labels",
    [maps(1, 1), maps(1, 3), [*maps(1, 1), np.zeros((6, 9), np.uint8)], [np.zeros((6, 8), np.int64)] * 2],
)
def test_a_failed_export_leaves_the_earlier_one(tmp_path: Path, labels: list[np.ndarray]) -> None:
    write_masks(tmp_path, "dog", NAMES, maps(1))
    with pytest.raises(ValueError):
        write_masks(tmp_path, "dog", NAMES, labels)
    with pytest.raises(RuntimeError):
        write_masks(tmp_path, "dog", NAMES, breaks_after_one())
    assert [labels.max() for labels in read_masks(tmp_path, "dog", NAMES)] == [1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["dog"]


@pytest.mark.parametrize("name", ["../dog", "/tmp/dog", "..", "", ".hidden", os.fsdecode(b"\xff")])
def test_names_never_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a safe file name"):
        write_masks(tmp_path / "out", name, NAMES, maps())
    with pytest.raises(ValueError, match="not a safe file name"):
        write_masks(tmp_path / "out", "dog", [name, "b"], maps())


def test_long_names_can_be_written(tmp_path: Path) -> None:
    folder = write_masks(tmp_path, "ü" * 100, ["x" * 200], maps(1, 1))
    assert len(list(folder.iterdir())) == 1


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(OSError):
        write_masks(tmp_path / "out", "dog", NAMES, maps())


def test_missing_damaged_and_misshapen_masks_are_named(tmp_path: Path) -> None:
    folder = write_masks(tmp_path, "dog", NAMES, maps())
    with pytest.raises(ValueError, match=r"00002.png does not exist"):
        list(read_masks(tmp_path, "dog", ["00000", "00002"]))
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(folder / "00001.png")
    with pytest.raises(ValueError, match=r"00001.png is \(3, 3\)"):
        list(read_masks(tmp_path, "dog", NAMES))
    (folder / "00001.png").touch()
    (folder / "00001.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"00001.png is empty"):
        list(read_masks(tmp_path, "dog", NAMES))


def decoded(tmp_path: Path, image: Image.Image) -> tuple[list[int], bool]:
    image.save(tmp_path / "mask.png")
    result = decode_labels(tmp_path / "mask.png")
    assert result.labels.dtype == np.uint8 and result.labels.ndim == 2
    return result.labels.ravel().tolist(), result.grey_levels


def grey(*values: int, dtype: type = np.uint8) -> Image.Image:
    return Image.fromarray(np.array([values], dtype))


@pytest.mark.parametrize(
    ("stored", "labels", "grey_levels"),
    [
        (grey(0, 255), [0, 1], False),
        (grey(0, 0), [0, 0], False),
        (grey(0, 1, 2, 20), [0, 1, 2, 20], False),
        (grey(0, 1, 255), [0, 1, 255], False),
        (grey(0, 7, 130, 255), [0, 1, 1, 1], True),
        (grey(0, 65535, dtype=np.uint16), [0, 1], False),
        (grey(0, 256, dtype=np.uint16), [0, 1], False),
        (grey(0, 255).convert("1"), [0, 1], False),
        (grey(0, 255).convert("RGBA"), [0, 1], False),
        (grey(0, 255).convert("LA"), [0, 1], False),
        (Image.fromarray(np.array([[[0, 0, 0], [0, 0, 1]]], np.uint8)), [0, 1], False),
    ],
)
def test_labels_by_what_a_file_holds(
    tmp_path: Path, stored: Image.Image, labels: list[int], grey_levels: bool
) -> None:
    assert decoded(tmp_path, stored) == (labels, grey_levels)


def test_palettes(tmp_path: Path) -> None:
    ids = grey(0, 1, 200, 255)
    ids.putpalette(davis_palette().tobytes())
    assert decoded(tmp_path, ids) == ([0, 1, 200, 255], False)
    greys = grey(0, 255)
    greys.putpalette(np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes())
    assert decoded(tmp_path, greys) == ([0, 1], False)


def test_files_that_are_not_masks(tmp_path: Path) -> None:
    Image.new("CMYK", (4, 4)).save(tmp_path / "mask.tif")
    with pytest.raises(PictureError, match="CMYK"):
        decode_labels(tmp_path / "mask.tif")


@given(st.integers(0, 255))
def test_palette_colours_are_all_different(label: int) -> None:
    assert (davis_palette() == davis_palette()[label]).all(axis=1).sum() == 1
