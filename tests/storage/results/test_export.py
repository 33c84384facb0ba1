"""Results that a run moves away are kept, however often that happens."""

from pathlib import Path

import pytest

from motion_adapt.storage.locks import alone
from motion_adapt.storage.results import export
from motion_adapt.storage.results.export import Origin, claimed, has_results, retire_clip


def results(folder: Path, name: str, content: str) -> None:
    for path in (folder / "masks" / name / "00000.png", folder / "overlays" / f"{name}.mp4"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_results_of_all_contents_are_kept_under_numbers(tmp_path: Path) -> None:
    places = []
    for content in ("first", "second", "third"):
        results(tmp_path, "heron", content)
        with claimed(tmp_path, "heron", Origin(content, "heron.mp4")) as moved:
            places.append(moved)
    earlier = tmp_path / "earlier"
    assert places == [earlier, earlier / "2", earlier / "3"]
    assert files(earlier) == {
        f"{place}{path}": content
        for place, content in (("", "first"), ("2/", "second"), ("3/", "third"))
        for path in ("masks/heron/00000.png", "overlays/heron.mp4")
    }
    results(tmp_path, "tram", "another clip")
    assert retire_clip(tmp_path, "tram", None) == earlier
    assert has_results(earlier, "tram") and not has_results(tmp_path, "tram")
    assert retire_clip(tmp_path, "tram", None) is None


def test_what_a_kill_left_joins_the_rest(tmp_path: Path) -> None:
    results(tmp_path, "heron", "first")
    (tmp_path / "earlier" / "masks").mkdir(parents=True)
    (tmp_path / "masks" / "heron").rename(tmp_path / "earlier" / "masks" / "heron")
    assert retire_clip(tmp_path, "heron", None) == tmp_path / "earlier"
    assert set(files(tmp_path / "earlier")) == {"masks/heron/00000.png", "overlays/heron.mp4"}


def test_results_that_another_process_is_writing_are_not_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PATIENCE", 0.0)
    results(tmp_path, "heron", "first")
    with (
        alone(tmp_path / export.STAMPS / ".heron.lock", patience=0),
        pytest.raises(TimeoutError, match="heron: another process"),
    ):
        retire_clip(tmp_path, "heron", None)
    assert has_results(tmp_path, "heron")
