"""Indexed masks whose palettes are not those of labels: another order, another background, grey levels."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from motion_adapt.storage.formats.images import PictureError
from motion_adapt.storage.formats.label_rules import davis_palette
from tests.storage.formats.kinds_of_masks import (
    BLACK,
    BLUE,
    RED,
    WHITE,
    Make,
    coloured,
    indexed,
    read,
    truth,
)

COLOURS = (BLACK, RED, BLUE)  # of background, 1 and 2
IN_ORDER = np.array([0, 2, 1])  # object 2 is there first
MOVED = "has a palette in another order than masks before it; colours, not indices, tell the objects apart"


def ordered(*order: int, **options: Any) -> Make:
    """Label l is stored as an index whose colour is that of l, in a palette of this order."""

    def make(labels: np.ndarray) -> Image.Image:
        image = indexed(np.argsort(order)[labels], [COLOURS[label] for label in order])
        image.info |= options
        return image

    return make


def by_turns(*makes: Make) -> Make:
    turn = iter(range(10))
    return lambda labels: makes[next(turn) % len(makes)](labels)


def minimal(labels: np.ndarray) -> Image.Image:
    used = np.unique(labels)
    return indexed(np.searchsorted(used, labels), [COLOURS[label] for label in used])


@pytest.mark.parametrize(
    "make",
    [
        by_turns(ordered(0, 1, 2), ordered(0, 2, 1)),
        by_turns(ordered(0, 1, 2), ordered(2, 1, 0)),
        by_turns(ordered(2, 0, 1), ordered(1, 2, 0)),
        minimal,  # the first frame has one object
    ],
)
def test_palettes_sorted_picture_by_picture_keep_objects_apart(tmp_path: Path, make: Make) -> None:
    maps, told = read(tmp_path, make)
    for index, labels in enumerate(maps):
        np.testing.assert_array_equal(labels, IN_ORDER[truth(index)])
    assert told.startswith(MOVED) and told.count(MOVED) == 1 and "has the colours" in told


@pytest.mark.parametrize("method", [Image.Quantize.MEDIANCUT, Image.Quantize.FASTOCTREE])
def test_what_a_program_quantises_is_read_by_colour(tmp_path: Path, method: Image.Quantize) -> None:
    maps, _ = read(tmp_path, lambda labels: coloured(*COLOURS)(labels).quantize(4, method=method))
    for index, labels in enumerate(maps):
        np.testing.assert_array_equal(labels, IN_ORDER[truth(index)])


def test_davis_colours_in_another_order_are_davis_labels(tmp_path: Path) -> None:
    davis = davis_palette()[:3].tolist()
    maps, told = read(
        tmp_path,
        by_turns(
            lambda labels: indexed(labels, davis),
            lambda labels: indexed(IN_ORDER[labels], [davis[0], davis[2], davis[1]]),
        ),
    )
    np.testing.assert_array_equal(maps[1], truth(1))
    np.testing.assert_array_equal(maps[2], truth(2))
    assert told == MOVED


def test_a_palette_without_its_unused_colours_keeps_davis_labels(tmp_path: Path) -> None:
    """As programs save a mask that was painted by hand: of objects 1 and 2, only 2 is there."""
    davis = davis_palette()[[0, 2]].tolist()
    maps, told = read(tmp_path, lambda labels: indexed(labels == 2, davis))
    np.testing.assert_array_equal(maps[1], np.where(truth(1) == 2, 2, 0))
    assert told == "has DAVIS's colours at other indices than their labels; the colours are read"


def test_palettes_that_agree_wherever_they_are_used_hold_ids(tmp_path: Path) -> None:
    other = davis_palette().copy()
    other[3:] = 255
    maps, told = read(tmp_path, by_turns(indexed, lambda labels: indexed(labels, other)))
    np.testing.assert_array_equal(maps[1], truth(1))
    assert not told


BACKGROUNDS: dict[str, tuple[list[tuple[int, int, int]], list[int], dict[str, Any]]] = {
    "transparent, last": ([RED, BLUE, WHITE], [2, 0, 1], {"transparency": 2}),
    "transparent by a table": ([RED, BLUE, WHITE], [2, 0, 1], {"transparency": bytes([255, 255, 0])}),
    "black, last": ([RED, BLUE, BLACK], [2, 0, 1], {}),
}


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_a_background_at_another_index_is_found(tmp_path: Path, kind: str) -> None:
    palette, indices, options = BACKGROUNDS[kind]

    def make(labels: np.ndarray) -> Image.Image:
        image = indexed(np.array(indices)[labels], palette)
        image.info |= options
        return image

    maps, told = read(tmp_path, make)
    for index, labels in enumerate(maps):
        np.testing.assert_array_equal(labels, IN_ORDER[truth(index)])
    assert "has the colours" in told


@pytest.mark.parametrize(
    ("palette", "indices"), [([RED, BLUE, WHITE], [2, 0, 1]), ([BLACK, RED, BLUE, WHITE], [3, 1, 2])]
)
def test_a_white_background_at_another_index_must_be_said(
    tmp_path: Path, palette: list[tuple[int, int, int]], indices: list[int]
) -> None:
    def make(labels: np.ndarray) -> Image.Image:
        return indexed(np.array(indices)[labels], palette)

    with pytest.raises(
        PictureError, match=r"mostly \(255, 255, 255\), index \d.* wanted a background that is index 0"
    ):
        read(tmp_path, make)
    maps, _ = read(tmp_path, make, background="border")
    for index, labels in enumerate(maps):
        np.testing.assert_array_equal(labels, IN_ORDER[truth(index)])


def test_index_0_is_the_background_in_any_colour_if_it_is_around_the_objects(tmp_path: Path) -> None:
    maps, told = read(tmp_path, lambda labels: indexed(labels, [WHITE, RED, BLUE]))
    np.testing.assert_array_equal(maps[1], truth(1))
    assert not told
    maps, told = read(tmp_path, lambda labels: indexed(labels, [WHITE, BLACK, BLUE]))
    np.testing.assert_array_equal(maps[1], truth(1))
    assert told == "has the background (255, 255, 255), index 0; black is label 1"


def test_doubts_about_the_background_are_told(tmp_path: Path) -> None:
    _, told = read(tmp_path, lambda labels: indexed(np.array([2, 0, 1])[labels], [BLACK, RED, WHITE]))
    assert (
        "has label 2, (255, 255, 255), on most of the clip's borders; if that is the background, set" in told
    )
    maps, told = read(tmp_path, ordered(0, 1, 2, transparency=1))
    np.testing.assert_array_equal(maps[1], truth(1))
    assert told == "is transparent at indices that are read as labels (1)"


def test_grey_levels_as_indices_are_refused_or_told(tmp_path: Path) -> None:
    def probability(labels: np.ndarray) -> Image.Image:
        return indexed(cv2.GaussianBlur((labels > 0).astype(np.float32), (15, 15), 4) * 255)

    with pytest.raises(
        PictureError, match=r"use \d+ indices, most of them in lines .* grey levels, not labels; store"
    ):
        read(tmp_path, probability)
    maps, told = read(tmp_path, lambda labels: indexed(np.array([0, 127, 255])[labels]))
    assert set(np.unique(maps[1])) == {0, 127, 255}
    assert told.startswith("has the indices 127, which are read as labels; if they are grey levels")
