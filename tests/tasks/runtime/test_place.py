"""A place is resolved once, and is the same place in every process afterwards."""

import pickle
from pathlib import Path

import pytest

from motion_adapt.tasks.runtime.place import Place


def test_a_place_is_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = Place(store="store", device="cpu").resolved()
    assert Path(place.store) == tmp_path / "store"
    monkeypatch.chdir("/")
    for same in (place, place.labelled("clip"), pickle.loads(pickle.dumps(place))):
        assert same.resolved() is same


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="device 'nowhere' can't be used here"):
        Place(device="nowhere").resolved()
