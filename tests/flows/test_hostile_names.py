"""Names are not trusted: whatever a folder or frame is called, results stay in the output folder."""

import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from motion_adapt.flows.cli.plan_command import print_plan
from motion_adapt.flows.plan.plan import Plan
from motion_adapt.flows.reports.compare import print_comparison
from motion_adapt.flows.upkeep.verify_data import print_findings
from motion_adapt.storage.checks.findings import Finding
from motion_adapt.storage.clips.videos import Outline
from tests.flows.conftest import Home, make_home
from tests.storage.media import save_frames

FOLDERS = ["%2e%2e%2Fout", r"a\..\..\b", "-rf *", "new\nline", "\u202egnp.", "$HOME", "~", "n" * 250]
FRAMES = ["%2e%2e.png", "-.png", "a\tb.png"]


@pytest.fixture
def hostile(tmp_path: Path, prefect_server: None, smoke_weights: Path, empty_database: Path) -> Home:
    clips = tmp_path / "given"
    for name in (*FOLDERS, "..."):  # a hidden folder is not a clip
        save_frames(clips / name, FRAMES)
    (tmp_path / "home").mkdir()
    return make_home(tmp_path / "home", smoke_weights, clips, empty_database)


def test_no_name_leaves_the_output_folder(hostile: Home, tmp_path: Path) -> None:
    def files() -> set[Path]:
        ours = {hostile.path / part for part in ("out", "store", "scratch")}
        return {path for path in tmp_path.rglob("*") if not ours & {path, *path.parents}}

    before = files()
    report = hostile.segment()
    assert len(report.clips) == len(FOLDERS) and not report.set_aside
    assert files() == before
    made = list((hostile.output / "masks").rglob("*.png"))
    assert len(made) == len(FOLDERS) * len(FRAMES)
    assert {path.parent.parent for path in made} == {hostile.output / "masks"}
    for path in hostile.output.rglob("*"):
        assert path.resolve().is_relative_to(hostile.output.resolve())
        assert path.name.isprintable()


def test_brackets_in_names_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Rich would take them for markup: leave them out, or end with an error."""
    name, console = "cam[left] [/x]", Console(width=200, record=True, file=io.StringIO())
    plan = Plan("segment", f"in/{name}", {name: Outline(2, 4, 4, 9)}, {}, {}, 1, 0, None, 1, [], "cpu")
    print_plan(plan)
    assert capsys.readouterr().out.count(name) == 2
    rounds = {"adaptation": name, "adaptation_run": "a", "round": 0, "champion": False, "gate": "keep"}
    print_comparison(console, pd.DataFrame([{**rounds, "figures": "", "quality": 0.5, "d quality": None}]))
    assert name in console.export_text()
    print_findings(console, [Finding("slow motion", name, "a", "slow", False)], Path(name))
    assert name in console.export_text()
