"""The masks of a video's shots, put together, replace no other video's."""

from pathlib import Path

import pytest

from motion_adapt.storage.results.export import Origin, ResultsTaken, require_free
from motion_adapt.storage.results.joined import join_masks

MONDAY, TUESDAY = Origin("a", "/monday/cam.mp4"), Origin("b", "/tuesday/cam.mp4")


def write_shots(folder: Path, text: str) -> dict[str, list[str]]:
    shots = {"cam#01": ["00000", "00001"], "cam#02": ["00002"]}
    for shot, frames in shots.items():
        (folder / "masks" / shot).mkdir(parents=True, exist_ok=True)
        for frame in frames:
            (folder / "masks" / shot / f"{frame}.png").unlink(missing_ok=True)
            (folder / "masks" / shot / f"{frame}.png").write_text(text)
    return shots


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def test_another_video_of_the_name_is_refused_and_the_same_one_written_again(tmp_path: Path) -> None:
    joined = tmp_path / "masks" / "cam"
    assert join_masks(tmp_path, "cam", write_shots(tmp_path, "monday"), MONDAY) is None
    monday = contents(joined)
    assert monday == dict.fromkeys(("00000.png", "00001.png", "00002.png"), "monday")
    with pytest.raises(ResultsTaken, match="another clip named cam"):
        join_masks(tmp_path, "cam", write_shots(tmp_path, "tuesday"), TUESDAY)
    with pytest.raises(ResultsTaken):
        require_free(tmp_path, "cam", TUESDAY)  # nor does an export of a whole clip take its place
    assert contents(joined) == monday
    assert join_masks(tmp_path, "cam", write_shots(tmp_path, "again"), MONDAY) is None
    assert set(contents(joined).values()) == {"again"}


def test_a_changed_video_moves_its_earlier_masks_away(tmp_path: Path) -> None:
    join_masks(tmp_path, "cam", write_shots(tmp_path, "before"), MONDAY)
    changed = Origin("c", MONDAY.path)
    assert join_masks(tmp_path, "cam", write_shots(tmp_path, "after"), changed) == tmp_path / "earlier"
    assert set(contents(tmp_path / "masks" / "cam").values()) == {"after"}
    assert set(contents(tmp_path / "earlier" / "masks" / "cam").values()) == {"before"}
