"""The frames that deserve a look are listed with their masks and pictures, and `review` prints them."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from motion_adapt.flows.cli.app import app
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.rounds.doubtful import reason
from motion_adapt.storage.results.doubtful import read_doubtful, write_doubtful
from tests.flows.conftest import Home


def test_a_run_lists_frames_with_masks_and_pictures(adapted: tuple[Home, Report]) -> None:
    home, report = adapted
    found = read_doubtful(home.output)
    assert [item["clip"] for item in report.doubtful] == [item.clip for item in found]
    assert {item.clip for item in found} == {"heron", "tram [raw]"}
    for item in found:
        assert 0 < item.doubt <= 1 and item.why
        assert (home.output / item.mask).is_file()
        with Image.open(home.output / "doubtful" / item.clip / f"{item.frame}.jpg") as picture:
            assert picture.size == (448, 256)
    page = (home.output / "report.html").read_text(encoding="utf-8")
    assert page.count('alt="frame ') == len(found)


def test_review_prints_the_list(adapted: tuple[Home, Report], tmp_path: Path) -> None:
    home, _ = adapted
    target = tmp_path / "list.json"
    result = CliRunner().invoke(
        app, ["review", str(home.output), "--json", str(target)], env={"COLUMNS": "400"}
    )
    assert result.exit_code == 0, result.output
    for item in read_doubtful(home.output):
        assert item.mask in result.output
    assert f"masks are in {home.output}" in result.output.replace("\n", "")
    assert "--exemplars" in result.output
    assert len(json.loads(target.read_text())) == len(read_doubtful(home.output))


@pytest.mark.parametrize("text", ["clip,frame\nheron,1\n", "a,b,doubt\n1,2,x\n"])
def test_a_folder_without_a_list_is_an_error(tmp_path: Path, text: str) -> None:
    result = CliRunner().invoke(app, ["review", str(tmp_path)])
    assert result.exit_code == 1 and "name a run's folder of results" in result.output
    (tmp_path / "doubtful.csv").write_text(text)
    assert "is no list of frames" in CliRunner().invoke(app, ["review", str(tmp_path)]).output
    assert "there is no folder" in CliRunner().invoke(app, ["review", str(tmp_path / "x")]).output


def test_a_source_may_have_the_name_of_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good").mkdir()
    write_doubtful(tmp_path / "motion-adapt" / "results" / "good", [], {})
    result = CliRunner().invoke(app, ["review", "good"])
    assert result.exit_code == 0 and "none; all stages agree" in result.output
    Path("motion-adapt/results/good/doubtful.csv").unlink()
    result = CliRunner().invoke(app, ["review", "good"])
    assert result.exit_code == 1
    assert "no doubtful.csv in good or motion-adapt/results/good" in result.output.replace("\n", "")


def test_the_reason_is_the_larger_doubt() -> None:
    assert reason(0.4, 0.2) == "proposal, correction and final mask differ in 40% of what they cover"
    assert "30% of the mask" in reason(0.1, 0.3)
