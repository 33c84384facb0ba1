"""The scripts and the notebook of examples/, run on a generated clip."""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import motion_adapt

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_script(name: str, *arguments: object) -> None:
    runpy.run_path(str(EXAMPLES / name))["main"](*map(str, arguments))


def test_scripts_and_plain_functions_give_the_same_masks(
    example: Path, prefect_server: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTION_ADAPT_CLIP_NETWORK__ENABLED", "false")  # as `--fast` does
    run_script("segment_a_video.py", "clips", "results")
    told = capsys.readouterr().out
    assert "heron: 8 frames" in told and "results/overlays/heron.mp4" in told
    run_script("plain_functions.py", "clips", "plain")
    by_stages, by_hand = motion_adapt.load_masks("results"), motion_adapt.load_masks("plain")
    assert by_stages["heron"].any()
    assert np.array_equal(by_stages["heron"], by_hand["heron"])


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = code_cells()
    assert cells and not any(cell["outputs"] or cell["execution_count"] for cell in cells)


def code_cells() -> list[dict[str, Any]]:
    notebook = json.loads((EXAMPLES / "compare_rounds.ipynb").read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(example: Path, prefect_server: None) -> None:
    Path("clips").rename("videos")
    names: dict[str, object] = {}
    for cell in code_cells():
        exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert "<img" in names["result"]._repr_html_()  # type: ignore[attr-defined]
    assert names["clips"].columns.to_list() == ["round 0", "round 1", "change"]  # type: ignore[attr-defined]
    assert names["clips"]["change"].notna().all()  # type: ignore[index]
