"""How many clips are processed at once if nobody says so."""

import os
from pathlib import Path

import psutil
import pytest

from motion_adapt.flows.cli.options import WORKER_MEMORY, clips_at_once
from tests.storage.media import save_frames


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        save_frames(tmp_path / name, ["0.png", "1.png"])
    return tmp_path


@pytest.mark.parametrize(("cores", "wanted"), [(1, 1), (2, 2), (8, 3), (None, 1)])
def test_as_many_as_cores_and_clips(
    source: Path, monkeypatch: pytest.MonkeyPatch, cores: int | None, wanted: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert clips_at_once(None, "cpu", "threads", source) == min(
        wanted, max(psutil.virtual_memory().available // WORKER_MEMORY, 1)
    )


def test_one_where_clips_share_something_or_none_is_left_to_add(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert clips_at_once(5, "cpu", "threads", source) == 5  # what was asked for
    assert clips_at_once(None, "cpu", "dask", source) == 1
    assert clips_at_once(None, "cpu", "threads", source, prune=1) == 1
    assert clips_at_once(None, "cpu", "threads", source, clips=["b"]) == 1
    assert clips_at_once(None, "cpu", "threads", source / "nowhere") == 1
    assert clips_at_once(None, "no such device", "threads", source) == 1
