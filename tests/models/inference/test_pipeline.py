"""Streaming over clips: inputs are read in pieces, and the results do not depend on the pieces."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch

from motion_adapt.models.inference.pipeline import correct, propose, select
from motion_adapt.models.inference.planning import parts
from motion_adapt.models.inputs.imaging import hard_masks, normalise_rgb
from motion_adapt.models.networks.blocks import Norm
from motion_adapt.models.networks.corrector import MaskCorrector
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.models.networks.selector import MaskSelector

H, W, C = 32, 64, 12


class Recorded:
    """An array that slices like a reader of the store and records the largest number of frames read at once."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.most = array, 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def __getitem__(self, key: slice | list[int]) -> np.ndarray:
        assert isinstance(key, slice | list)
        piece = self.array[key]
        self.most = max(self.most, len(piece))
        return piece


@pytest.fixture(scope="module")
def oclr() -> OCLR:
    torch.manual_seed(1)
    net = OCLR(features=4, width=32).eval()
    with torch.no_grad():
        net.decoder.out.weight.mul_(4)  # so that every object has masks
    return net


@pytest.fixture(scope="module")
def selector() -> MaskSelector:
    torch.manual_seed(2)
    return MaskSelector(features=4, width=32, feature_channels=C).eval()


@pytest.fixture(scope="module")
def corrector() -> MaskCorrector:
    torch.manual_seed(3)
    return MaskCorrector(features=4, width=48, feature_channels=C).eval()


def _clip(T: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = np.zeros((T, 3, H, W), bool)
    for frame in range(T):
        for k in range(3):
            x, y = 4 + (frame + 20 * k) % 40, 6 + 4 * k
            masks[frame, k, y : y + 10, x : x + 12] = frame % 5 != 4 - k  # empty in some frames
    return {
        "flow": rng.normal(size=(T, 4, H, W)).astype(np.float32),
        "rgb": rng.integers(0, 255, (T, H, W, 3), dtype=np.uint8),
        "small": rng.normal(size=(T, H // 16, W // 16, C)).astype(np.float16),
        "large": rng.normal(size=(T, H // 8, W // 8, C)).astype(np.float16),
        "masks": masks,
    }


def _starts(pieces: Sequence) -> list[tuple[int, int]]:
    return [(piece.start, piece.start + len(piece.masks)) for piece in pieces]


# ---- propose


@pytest.mark.parametrize(("T", "overlap"), [(1, 4), (2, 4), (12, 4), (31, 4), (31, 0)])
def test_proposals_are_whole_disjoint_and_read_in_chunks(oclr: OCLR, T: int, overlap: int) -> None:
    flow = Recorded(_clip(T)["flow"])
    pieces = list(propose(oclr, flow, chunk=12, overlap=overlap))
    ranges = _starts(pieces)
    assert ranges[0][0] == 0 and ranges[-1][1] == T
    assert all(stop == start for (_, stop), (start, _) in pairwise(ranges))
    assert flow.most <= 12
    masks = np.concatenate([piece.masks for piece in pieces])
    assert masks.shape == (T, 3, H, W) and masks.sum(axis=1).max() <= 1
    again = np.concatenate([piece.masks for piece in propose(oclr, flow.array, chunk=12, overlap=overlap)])
    assert np.array_equal(masks, again)


def test_identities_are_carried_from_chunk_to_chunk(oclr: OCLR, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = _clip(40)
    turn = iter([[0, 1, 2], [2, 0, 1], [1, 2, 0], [0, 2, 1]])
    seen = iter([slice(0, 12), slice(8, 20), slice(16, 28), slice(24, 36), slice(28, 40)])

    def modal(_net: OCLR, _flow: np.ndarray, _device: torch.device) -> np.ndarray:
        return clip["masks"][next(seen)][:, next(turn, [2, 1, 0])]

    monkeypatch.setattr("motion_adapt.models.inference.pipeline._modal_masks", modal)
    pieces = list(propose(oclr, clip["flow"], chunk=12, overlap=4))
    assert np.array_equal(np.concatenate([piece.masks for piece in pieces]), clip["masks"])
    assert not any(piece.new_objects for piece in pieces)


def test_another_object_in_a_slot_is_reported(oclr: OCLR, monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = np.zeros((2, 12, 3, H, W), bool)
    left[:, 0, 4:10, 4:20], right[:, 0, 4:10, 40:60] = True, True
    chunks = iter([left, right])
    monkeypatch.setattr("motion_adapt.models.inference.pipeline._modal_masks", lambda *_: next(chunks))
    pieces = list(propose(oclr, _clip(20)["flow"], chunk=12, overlap=4))
    (new,) = pieces[1].new_objects
    assert (new.slot, new.frame, new.iou, new.replaces) == (1, 8, 0.0, False)
    assert np.array_equal(pieces[1].masks[:, 1], right[:, 0])


def test_flow_that_is_not_finite_is_refused_with_its_frame(oclr: OCLR) -> None:
    flow = _clip(20)["flow"]
    flow[13, 0, 3, 4] = np.inf
    with pytest.raises(ValueError, match="frame 13"):
        list(propose(oclr, flow, chunk=12, overlap=4))


# ---- select


def test_every_part_has_exemplars_of_its_own(selector: MaskSelector) -> None:
    clip = _clip(25)
    clip["masks"][:, 2] = False
    inputs = [Recorded(clip[name]) for name in ("rgb", "small", "masks")]
    pieces = list(select(selector, *inputs, t=4, limit=12, target=10))
    assert [(p.start, p.start + len(p.errors)) for p in pieces] == parts(25, 12, 10)
    assert all(reader.most <= 9 for reader in inputs)
    for piece in pieces:
        span = slice(piece.start, piece.start + len(piece.errors))
        present = clip["masks"][span].any(axis=(2, 3))
        assert (piece.exemplars.sum(axis=0) == 4).all()
        assert not (piece.exemplars & ~present)[:, :2].any()
        np.testing.assert_allclose(piece.scores.sum(axis=0), 1, rtol=1e-5)
        alone = next(select(selector, *(clip[n][span] for n in ("rgb", "small", "masks")), t=4))
        assert np.array_equal(alone.error_labels, piece.error_labels) and piece.error_labels.max() <= 2
        assert np.array_equal(alone.exemplars, piece.exemplars)


def test_objects_with_few_usable_frames_have_few_exemplars(selector: MaskSelector) -> None:
    clip = _clip(8)
    clip["masks"][:, 1] = False
    clip["masks"][3, 1, :4] = True
    (piece,) = select(selector, clip["rgb"], clip["small"], clip["masks"], t=5)
    assert np.flatnonzero(piece.exemplars[:, 1]).tolist() == [3]
    assert piece.exemplars[:, 0].sum() == 5


# ---- correct


def _correct(net: MaskCorrector, clip: dict, marks: np.ndarray, **options: int) -> list:
    quality = np.random.default_rng(1).random((len(marks), 3)).astype(np.float32)
    return list(correct(net, clip["rgb"], clip["large"], clip["masks"], quality, marks, **options))


@pytest.mark.parametrize("T", [1, 5, 7, 16])
def test_corrections_cover_the_clip_once(corrector: MaskCorrector, T: int) -> None:
    clip = _clip(T)
    marks = np.zeros((T, 3), bool)
    marks[0], marks[T // 2, 0] = True, True
    pieces = _correct(corrector, clip, marks)
    ranges = _starts(pieces)
    assert ranges[0][0] == 0 and ranges[-1][1] == T and all(b - a <= 7 for a, b in ranges)
    assert all(stop == start for (_, stop), (start, _) in pairwise(ranges))
    for piece in pieces:
        assert piece.probabilities.dtype == np.float16 and np.isfinite(piece.probabilities).all()
        assert piece.segments.shape == (len(piece.masks), H, W) and piece.segments.max() < 7
        assert piece.masks.sum(axis=1).max() <= 1


def test_the_last_window_is_the_networks_own_result(corrector: MaskCorrector) -> None:
    clip, T = _clip(9), 9
    marks = np.zeros((T, 3), bool)
    marks[[1, 4]] = True
    marks[6, 2] = True
    quality = np.random.default_rng(1).random((T, 3)).astype(np.float32)
    pieces = _correct(corrector, clip, marks)
    assert [piece.start for piece in pieces] == [0, 2]

    table = torch.tensor([[[1, 4, -1], [1, 4, -1], [1, 4, 6]]])
    rows, k = table[0].clamp(min=0).T, torch.arange(3)
    tokens, masks = torch.from_numpy(clip["large"]), torch.from_numpy(clip["masks"])
    with torch.inference_mode():
        memory = corrector.remember(
            tokens[rows][None], masks[rows, k][None], torch.from_numpy(quality)[rows, k][None], table
        )
        rgb = normalise_rgb(clip["rgb"])
        window = rgb[None, 2:], tokens[None, 2:], masks[None, 2:], torch.arange(2, 9)[None]
        probabilities = corrector(*window, memory).logits[0].sigmoid().numpy()
    np.testing.assert_allclose(pieces[1].probabilities, probabilities, atol=1e-3)
    assert (pieces[1].masks != hard_masks(probabilities)).mean() < 1e-3


def test_parts_do_not_see_each_others_exemplars(corrector: MaskCorrector) -> None:
    clip = _clip(20)
    marks = np.zeros((20, 3), bool)
    marks[[2, 11]] = True
    whole = _correct(corrector, clip, marks, limit=10, target=19)
    clip["masks"][11], clip["large"][11] = False, 0
    changed = _correct(corrector, clip, marks, limit=10, target=19)
    for a, b in zip(whole, changed, strict=True):
        assert np.array_equal(a.probabilities, b.probabilities) == (a.start < 10)


def test_a_part_without_masks_borrows_the_exemplars_of_the_nearest_part(corrector: MaskCorrector) -> None:
    clip, marks = _clip(24), np.zeros((24, 3), bool)
    clip["masks"][:16] = False  # only the last of three parts of 8 frames shows an object
    marks[[3, 11, 20]] = True  # empty masks are exemplars too
    how = {"limit": 12, "target": 10}
    alone, borrowed = (_correct(corrector, clip, marks, **how, borrow=borrow) for borrow in (False, True))
    lent = np.zeros_like(marks)
    lent[20] = True
    wanted = _correct(corrector, clip, lent, **how, given=np.arange(24) == 20)  # exemplars of the whole clip
    for own, found, want in zip(alone, borrowed, wanted, strict=True):
        assert np.array_equal(own.probabilities, found.probabilities) == (found.start >= 16)
        if found.start < 16:
            np.testing.assert_array_equal(found.probabilities, want.probabilities)


def test_a_part_without_exemplars_has_empty_masks(corrector: MaskCorrector) -> None:
    marks = np.zeros((24, 3), bool)
    marks[20] = True  # in the last of three parts of 8 frames
    parts = _correct(corrector, _clip(24), marks, limit=12, target=10)
    for part in parts:
        assert part.probabilities.any() == (part.start >= 16)
        assert part.start >= 16 or not part.masks.any()
    assert sum(len(part.masks) for part in parts) == 24


def test_frames_that_are_not_allowed_are_exemplars_of_no_object(selector: MaskSelector) -> None:
    clip, allowed = _clip(6), np.array([False, False, True, True, True, False])
    (part,) = select(selector, clip["rgb"], clip["small"], clip["masks"], t=10, allowed=allowed)
    assert part.exemplars.any(axis=1).tolist() == allowed.tolist()
    (none,) = select(selector, clip["rgb"], clip["small"], clip["masks"], allowed=np.zeros(6, bool))
    assert not none.exemplars.any()


def test_lengths_and_modes_are_checked(corrector: MaskCorrector, selector: MaskSelector) -> None:
    clip = _clip(3)
    with pytest.raises(ValueError, match="'tokens': 2"):
        list(select(selector, clip["rgb"], clip["small"][:2], clip["masks"]))
    net = MaskSelector(features=2, width=16, feature_channels=C)
    assert any(isinstance(module, Norm) for module in net.modules())
    with pytest.raises(ValueError, match="precision: wanted None on a CPU"):
        list(select(net.eval(), clip["rgb"], clip["small"], clip["masks"], precision=torch.bfloat16))
    with pytest.raises(ValueError, match="evaluation mode"):
        list(select(net.train(), clip["rgb"], clip["small"], clip["masks"]))
