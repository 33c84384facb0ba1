"""Cuts are found where pieces of clips are joined, and nowhere else."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from motion_adapt.models.inputs.cuts import find_cuts, shots_between
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips

SIZE = 72, 128


@pytest.fixture(scope="module")
def pieces() -> list[np.ndarray]:
    supply = SyntheticClips(seed=3, frames=9, size=SIZE)
    return [supply.make(index).rgb for index in range(3)]


def test_joined_pieces_are_cut_where_they_meet(pieces: list[np.ndarray]) -> None:
    still = np.repeat(pieces[1][:1], 6, axis=0)
    assert find_cuts(np.concatenate([pieces[0], still, pieces[2]])) == [9, 15]


def test_nothing_is_cut_within_a_piece(pieces: list[np.ndarray]) -> None:
    assert [find_cuts(piece) for piece in pieces] == [[], [], []]


def test_a_still_video_a_fade_and_a_short_one_have_no_cuts(pieces: list[np.ndarray]) -> None:
    still = np.repeat(pieces[0][:1], 12, axis=0)
    light = np.linspace(0, 1, 12).reshape(-1, 1, 1, 1)
    assert find_cuts(still) == [] and find_cuts((still * light).astype(np.uint8)) == []
    assert find_cuts(pieces[0][:2]) == []


def test_shots_are_what_is_between() -> None:
    assert shots_between([], 5) == [(0, 5)]
    assert shots_between([2, 4], 5) == [(0, 2), (2, 4), (4, 5)]


@pytest.mark.slow
def test_real_clips_are_cut_only_where_they_are_joined(data: Path) -> None:
    folders = sorted(
        folder
        for source in ("DAVIS-unlabelled", "DAVIS2016-half", "tiny")
        for folder in (data / source / "JPEGImages").glob("*/*")
    )
    assert len(folders) >= 40
    before = np.zeros((0, 126, 224, 3), np.uint8)
    for folder in folders:
        files = sorted(folder.iterdir())
        clip = np.stack([np.array(Image.open(file).convert("RGB").resize((224, 126))) for file in files])
        assert find_cuts(clip) == [], folder.name
        joined = np.concatenate([before, clip])
        if len(before) > 2 and len(clip) > 2:
            assert find_cuts(joined) == [len(before)], folder.name
        before = clip[:20]
