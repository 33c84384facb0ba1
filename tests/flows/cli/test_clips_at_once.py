"""How many clips are processed at once if nobody says so."""

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from motion_adapt.flows.cli.options import clips_at_once
from tests.storage.media import save_frames


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        save_frames(tmp_path / name, ["0.png", "1.png"])
    return tmp_path


def machine(monkeypatch: pytest.MonkeyPatch, *, cores: int | None, memory: int) -> None:
    """Pretend to be on a machine with as many cores, and bytes of free memory."""
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=memory))


@pytest.mark.parametrize(
    ("cores", "gigabytes", "wanted"),
    [(1, 64, 1), (2, 64, 2), (8, 64, 3), (None, 64, 1), (8, 5, 2), (8, 3, 1), (8, 1, 1)],
)
def test_as_many_as_cores_clips_and_memory_allow(
    source: Path, monkeypatch: pytest.MonkeyPatch, cores: int | None, gigabytes: int, wanted: int
) -> None:
    machine(monkeypatch, cores=cores, memory=gigabytes * 10**9)
    assert clips_at_once(None, "cpu", "threads", source) == wanted


def test_one_where_clips_share_something_or_none_is_left_to_add(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, cores=8, memory=64 * 10**9)
    assert clips_at_once(5, "cpu", "threads", source) == 5  # what was asked for
    assert clips_at_once(None, "cpu", "dask", source) == 1
    assert clips_at_once(None, "cpu", "threads", source, prune=1) == 1
    assert clips_at_once(None, "cpu", "threads", source, clips=["b"]) == 1
    assert clips_at_once(None, "cpu", "threads", source / "nowhere") == 1
    assert clips_at_once(None, "no such device", "threads", source) == 1
