"""Clips of a pool: generated once, and the same for all processes that share them."""

import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from motion_adapt.models.training.shared_pool import START_METHOD, Pool


def squares(number):
    """Return arrays whose values identify their clip."""
    return {"flow": np.full((2, 3), number, np.float16), "masks": np.arange(4) < number}


class Clips(Dataset):
    """The clips of a pool as a worker process sees them, and whether it had to generate them."""

    def __init__(self, pool):
        self.pool = pool

    def __getitem__(self, number):
        made = []
        make, self.pool.make = self.pool.make, lambda n: made.append(n) or squares(n)
        clip = self.pool[number]
        self.pool.make = make
        return clip["flow"].copy(), clip["masks"].copy(), bool(made)


@pytest.mark.parametrize("shared", [False, True])
def test_a_clip_is_generated_once_and_returned_unchanged(shared):
    asked = []
    pool = Pool(3, lambda number: asked.append(number) or squares(number), shared=shared)
    for number in (2, 1, 2, 0, 1):
        clip = pool[number]
        assert clip.keys() == squares(number).keys()
        for name, array in squares(number).items():
            assert clip[name].dtype == array.dtype
            np.testing.assert_array_equal(clip[name], array)
    assert sorted(asked) == [0, 1, 2]


def test_processes_share_a_clip_that_one_of_them_generated():
    pool = Pool(4, squares, shared=True)
    pool[1]
    # one process at a time, so that no two generate a clip at the same time
    order = [1, 2, 2, 3, 3]
    seen = list(DataLoader(Clips(pool), batch_size=None, sampler=order, num_workers=1,
                           multiprocessing_context=START_METHOD))  # fmt: skip
    for number, (flow, masks, _) in zip(order, seen, strict=True):
        np.testing.assert_array_equal(flow.numpy(), squares(number)["flow"])
        np.testing.assert_array_equal(masks.numpy(), squares(number)["masks"])
    assert [made for *_, made in seen] == [False, True, False, True, False]
    pool.make = None  # the clips that the worker generated are available here too
    np.testing.assert_array_equal(pool[3]["flow"], squares(3)["flow"])


def test_there_is_no_clip_beyond_the_last():
    pool = Pool(2, squares)
    with pytest.raises(IndexError, match="0 to 1, got 2"):
        pool[2]
    with pytest.raises(ValueError, match="at least 1"):
        Pool(0, squares)
