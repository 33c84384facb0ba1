"""Results belong to a clip, not to a name: another clip of that name takes the place of none."""

from pathlib import Path

import pytest

from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.run import NothingLeft
from tests.flows.conftest import PLAIN, Home
from tests.storage.media import save_video


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != ".exported"
    }


def test_another_clip_of_the_same_name_replaces_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home.path)
    results = Path("motion-adapt/results")
    day0, day1 = (save_video(home.path / f"day{day}" / "cam1.mp4", count=3 + day) for day in range(2))
    assert home.segment(day0, output=None, settings=PLAIN).output == str(results / "cam1")
    first = contents(results / "cam1")
    assert len([name for name in first if name.startswith("masks/cam1/")]) == 3

    # Of another place and other content: results of its own, in the same place every time.
    for _ in range(2):
        report = home.segment(day1, output=None, settings=PLAIN)
        assert report.output == str(results / "cam1-2")
        (told,) = (text for text in report.warnings if "another clip named cam1" in text)
        assert str(day0) in told and str(results / "cam1-2") in told
        assert contents(results / "cam1") == first
        assert len(list((results / "cam1-2/masks/cam1").iterdir())) == 4

    # Into a folder that was asked for: a refusal that says what to do.
    with pytest.raises(
        RunError, match=r"another clip named cam1 \(.*day0/cam1.mp4\); name another .*--output"
    ):
        home.segment(day1, output=str(results / "cam1"), settings=PLAIN)
    assert contents(results / "cam1") == first

    # Nor does a clip that can't be read move another's results away.
    broken = home.path / "day2" / "cam1.mp4"
    broken.parent.mkdir()
    broken.write_bytes(b"no video")
    with pytest.raises(NothingLeft) as caught:
        home.segment(broken, output=str(results / "cam1"), settings=PLAIN)
    assert any("day0/cam1.mp4" in text for text in caught.value.run.warnings)
    assert contents(results / "cam1") == first

    # The same clip, moved, is still itself; with other content in the same place, its old results are kept apart.
    moved = home.path / "archive" / "cam1.mp4"
    moved.parent.mkdir()
    day0.rename(moved)
    assert not any(
        "cam1" in text
        for text in home.segment(moved, output=None, settings=PLAIN).warnings
        if "moved" in text
    )
    assert contents(results / "cam1") == first
    moved.write_bytes(day1.read_bytes())
    report = home.segment(moved, output=None, settings=PLAIN)
    assert (
        f"cam1: earlier results, not of these frames, were moved to {results / 'cam1' / 'earlier'}"
        in report.warnings
    )
    del first["doubtful.csv"]  # it is of the run
    assert contents(results / "cam1" / "earlier") == first
    assert len(list((results / "cam1/masks/cam1").iterdir())) == 4


def test_masks_that_no_run_has_signed_are_moved_not_replaced(home: Home) -> None:
    clip = save_video(home.path / "cam1.mp4", count=3)
    own = home.output / "masks" / "cam1" / "mine.txt"
    own.parent.mkdir(parents=True)
    own.write_text("hand-made")
    report = home.segment(clip, settings=PLAIN)
    assert any("earlier results, not of these frames, were moved" in text for text in report.warnings)
    assert (home.output / "earlier" / "masks" / "cam1" / "mine.txt").read_text() == "hand-made"
