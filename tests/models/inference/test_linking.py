import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from motion_adapt.models.inference.linking import link, pairwise_iou


def _discs(*places: int | None, frames: int = 3) -> np.ndarray:
    """Return masks (frames, K, 8, 40), each with a block at the given place, or empty for None."""
    masks = np.zeros((frames, len(places), 8, 40), bool)
    for k, place in enumerate(places):
        if place is not None:
            masks[:, k, 2:6, place : place + 6] = True
    return masks


def _link(before: np.ndarray, now: np.ndarray, used: list[bool] | None = None, floor: float = 0.1):
    used_slots = before.any(axis=(0, 2, 3)) if used is None else np.array(used)
    present = now.any(axis=(0, 2, 3))
    return link(before, now, used=used_slots, present=present, frame=20, floor=floor)


@given(st.permutations([0, 1, 2]))
def test_permuted_channels_are_put_back(order: list[int]) -> None:
    before = _discs(0, 12, 25)
    links = _link(before, before[:, order])
    assert np.array_equal(before[:, order][:, links.channels], before)
    assert links.new == ()


def test_an_object_below_the_floor_is_a_new_object_in_its_slot() -> None:
    links = _link(_discs(0, 12), _discs(12, 5), floor=0.3)  # 5 ... 11 overlaps 0 ... 6 slightly
    assert links.channels.tolist() == [1, 0]
    (new,) = links.new
    assert (new.slot, new.frame, new.replaces) == (0, 20, True) and 0 < new.iou < 0.3


def test_new_objects_prefer_slots_that_were_never_used() -> None:
    links = _link(_discs(0, None, None), _discs(20, None, 0), used=[True, True, False])
    assert links.channels.tolist() == [2, 1, 0]
    assert [(new.slot, new.replaces) for new in links.new] == [(2, False)]


def test_objects_that_vanish_are_not_new_objects() -> None:
    links = _link(_discs(0, 12), _discs(None, 0))
    assert links.channels.tolist() == [1, 0] and links.new == ()


def test_without_overlap_channels_stay_and_objects_are_new() -> None:
    links = _link(_discs(0, 12, frames=0), _discs(12, None, frames=0), used=[True, True])
    assert links.channels.tolist() == [0, 1] and links.new == ()
    now = _discs(12, None)
    links = link(
        now[:0], now[:0], used=np.ones(2, bool), present=now.any(axis=(0, 2, 3)), frame=30, floor=0.1
    )
    assert links.channels.tolist() == [0, 1]
    assert [new.slot for new in links.new] == [0]


@given(st.integers(0, 10**6))
def test_channels_are_always_a_permutation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, now = rng.random((2, 4, 3, 3)) > 0.7, rng.random((2, 4, 3, 3)) > 0.7
    links = _link(before, now, used=list(rng.random(4) > 0.5), floor=float(rng.random()))
    assert sorted(links.channels) == [0, 1, 2, 3]


def test_iou_of_empty_masks_is_zero() -> None:
    assert pairwise_iou(_discs(None, 0), _discs(None, 3)).tolist() == [[0, 0], [0, 1 / 3]]
