"""Prompts: points of a grid inside the mask, boxes, and the tensors in the models' coordinates."""

import numpy as np
import pytest

from motion_adapt.models.sam.prompts import Prompt, box_of, grid_points, prompt_of, prompt_tensors


def a_mask(rows: slice, columns: slice, size: tuple[int, int] = (48, 96)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[rows, columns] = True
    return mask


def test_a_square_gets_a_uniform_grid() -> None:
    points = grid_points(a_mask(slice(10, 40), slice(20, 50)), 9)
    assert points.tolist() == [[x, y] for y in (15, 25, 35) for x in (25, 35, 45)]


@pytest.mark.parametrize("count", [1, 5, 10, 30])
@pytest.mark.parametrize("seed", range(4))
def test_about_as_many_points_as_asked_and_all_inside(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:96, :128]
    mask = np.zeros((96, 128), bool)
    for _ in range(3):
        y, x, high, wide = rng.uniform((20, 20, 8, 8), (76, 108, 20, 30))
        mask |= ((rows - y) / high) ** 2 + ((columns - x) / wide) ** 2 < 1
    points = grid_points(mask, count)
    assert mask[points[:, 1].astype(int), points[:, 0].astype(int)].all()
    assert abs(len(points) - count) <= max(2, count // 5)
    assert len(np.unique(points, axis=0)) == len(points)


def test_a_mask_between_the_points_of_every_grid_gets_its_pixel_nearest_to_its_centroid() -> None:
    mask = a_mask(slice(10, 31), slice(20, 41))
    mask[11:30, 21:40] = False  # a frame of one pixel
    mask[20, 36] = True
    points = grid_points(mask, 1)
    assert len(points) == 1 and mask[int(points[0, 1]), int(points[0, 0])]
    single = grid_points(a_mask(slice(7, 8), slice(90, 91)), 10)
    assert single.tolist() == [[90, 7]]


def test_an_empty_mask_asks_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        box_of(np.zeros((4, 4), bool))


@pytest.mark.parametrize(
    ("kind", "parts"),
    [("mask+points", {"mask", "points"}), ("mask", {"mask"}), ("points", {"points"}), ("box", {"box"})],
)
def test_the_parts_of_a_prompt(kind: str, parts: set[str]) -> None:
    prompt = prompt_of(a_mask(slice(1, 9), slice(1, 9)), kind, 4)  # type: ignore[arg-type]
    assert {name for name, value in vars(prompt).items() if value is not None} == parts


def test_a_padded_input_has_the_mask_at_the_top_left() -> None:
    """SAM: a frame of 48 x 96 becomes 512 x 1024 of 1024 x 1024, and its mask 128 x 256 of 256 x 256."""
    mask = a_mask(slice(12, 24), slice(24, 48))
    prompt = Prompt(mask, np.array([[24, 12], [47, 23]], np.float32), box_of(mask))
    tensors = prompt_tensors(prompt, native=(48, 96), used=(512, 1024), side=1024, mask_side=256)
    assert tensors["input_boxes"][0, 0].tolist() == pytest.approx(
        [24 * 32 / 3, 128, 47 * 32 / 3, 23 * 32 / 3]
    )
    assert tensors["input_points"][0, 0].numpy() == pytest.approx(
        np.array([[256, 128], [47 * 32 / 3, 23 * 32 / 3]])
    )
    assert tensors["input_labels"].tolist() == [[[1, 1]]]
    logits = tensors["input_masks"]
    assert logits.shape == (1, 1, 256, 256)
    expected = np.full((256, 256), -10.0)
    expected[32:64, 64:128] = 10  # the rows and columns of the mask, at 8/3 of the frame's size
    inner = np.ones((256, 256), bool)
    for edge in (31, 32, 63, 64):
        inner[edge] = False
    for edge in (63, 64, 127, 128):
        inner[:, edge] = False
    assert np.array_equal(logits[0, 0].numpy()[inner], expected[inner])
    assert (logits.abs() <= 10).all()


def test_a_stretched_input_has_the_mask_everywhere() -> None:
    """SAM 2: a frame of any shape becomes a square."""
    mask = a_mask(slice(0, 48), slice(48, 96))
    tensors = prompt_tensors(
        Prompt(mask, np.array([[48, 24]], np.float32)), native=(48, 96), used=(32, 32), side=32, mask_side=8
    )
    assert tensors["input_points"].tolist() == [[[[16, 16]]]]
    logits = tensors["input_masks"][0, 0].numpy()
    assert (logits[:, 4:] == 10).all() and (logits[:, :4] == -10).all()


def test_a_pixel_that_is_partly_inside_has_a_logit_between() -> None:
    mask = a_mask(slice(0, 4), slice(0, 6), size=(16, 16))
    logits = prompt_tensors(Prompt(mask), native=(16, 16), used=(16, 16), side=16, mask_side=4)["input_masks"]
    assert logits[0, 0, 0].tolist() == [10, 0, -10, -10]
