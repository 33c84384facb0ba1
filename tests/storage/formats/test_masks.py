import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from motion_adapt.storage.formats.label_maps import ClipMasks
from motion_adapt.storage.formats.label_rules import davis_palette
from motion_adapt.storage.formats.masks import mask_files, read_masks, write_masks

NAMES = ("00000", "00001")


def read(folder: Path, clip: str, names: Sequence[str]) -> list[np.ndarray]:
    return list(read_masks(ClipMasks(mask_files(folder, clip, names))))


def maps(value: int = 1, count: int = 2) -> list[np.ndarray]:
    return [np.full((6, 8), value, np.uint8) for _ in range(count)]


def test_the_palette_is_the_one_of_davis() -> None:
    expected = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128)]
    assert [tuple(colour) for colour in davis_palette()[:6].tolist()] == expected
    assert davis_palette()[255].tolist() == [224, 224, 192]


def maps_of(labels: list[int]) -> st.SearchStrategy[np.ndarray]:
    shapes = array_shapes(min_dims=2, max_dims=2, max_side=40)
    return arrays(np.uint8, shapes, elements=st.sampled_from(labels))


# More than 20 labels, most of them in specks alone, are taken for grey levels.
@given(st.lists(st.integers(0, 255), min_size=1, max_size=20).flatmap(maps_of))
def test_labels_come_back_as_they_went_in(
    tmp_path_factory: pytest.TempPathFactory, labels: np.ndarray
) -> None:
    assume(set(np.unique(labels)) - {0} != {255})  # void beside nothing is read as the object of a white mask
    folder = tmp_path_factory.mktemp("masks")
    write_masks(folder, "clip", ["00000"], [labels])
    (back,) = read(folder, "clip", ["00000"])
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
    assert [labels.max() for labels in read(tmp_path, "dog", NAMES)] == [1, 1]
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
        read(tmp_path, "dog", ["00000", "00002"])
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(folder / "00001.png")
    with pytest.raises(ValueError, match=r"00001.png is \(3, 3\)"):
        read(tmp_path, "dog", NAMES)
    (folder / "00001.png").touch()
    (folder / "00001.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"00001.png is empty"):
        read(tmp_path, "dog", NAMES)


@given(st.integers(0, 255))
def test_palette_colours_are_all_different(label: int) -> None:
    assert (davis_palette() == davis_palette()[label]).all(axis=1).sum() == 1
