"""Masks of any model are scored, and a warning names the clips that the mean leaves out."""

from pathlib import Path

import numpy as np
import pytest

from motion_adapt.flows.evaluate import evaluate
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.storage.formats.masks import write_masks

FRAMES = [f"{index:05d}" for index in range(4)]


def masks_in_quarters(folder: Path, clip: str, ids: tuple[int, int, int, int]) -> None:
    quarters = np.kron(np.array(ids, np.uint8).reshape(2, 2), np.ones((16, 16), np.uint8))
    write_masks(folder, clip, FRAMES, [quarters] * len(FRAMES))


def scored(root: Path, **options: object) -> Report:
    report = evaluate.fn(str(root / "masks"), str(root / "truth"), **options)
    assert isinstance(report, Report)
    return report


def test_masks_hold_as_many_objects_as_their_model_finds(tmp_path: Path) -> None:
    masks_in_quarters(tmp_path / "truth", "heron", (0, 0, 0, 1))
    masks_in_quarters(tmp_path / "masks", "heron", (1, 2, 3, 7))
    report = scored(tmp_path)
    assert not report.set_aside
    assert report.clips["heron"]["J_matched"] == 1
    assert scored(tmp_path, protocol="boxes").clips["heron"]["J_matched"] == 1
    masks_in_quarters(tmp_path / "masks", "heron", (1, 2, 3, 21))
    assert "ids up to 20, got 21" in scored(tmp_path).set_aside["heron"]


def test_annotated_clips_without_masks_are_warned_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for clip in ("a", "b", "c", "d", "heron"):
        masks_in_quarters(tmp_path / "truth", clip, (0, 0, 0, 1))
    masks_in_quarters(tmp_path / "masks", "heron", (0, 0, 0, 1))
    (tmp_path / "truth" / "heron" / "00001.png").unlink()
    report = scored(tmp_path)
    missing = "no masks of 4 annotated clips, which do not count in the mean: a, b, c and 1 more"
    frame = "annotations of heron: 00001.png missing; frames without a mask are not scored"
    assert report.warnings == [frame, missing]
    told = capsys.readouterr().err
    assert f"warning {frame}\n" in told and f"warning {missing}\n" in told
    assert scored(tmp_path, clips=["heron"]).warnings == [frame]  # only this clip was requested
    named = scored(tmp_path, data_set="DAVIS2016")
    assert named.warnings == [frame]  # its mean is over other clips


def test_unmeasured_memory_is_left_out() -> None:
    assert "peak_memory_mb" not in Report("evaluate", "masks").json()
