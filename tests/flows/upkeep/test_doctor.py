"""`doctor` reports ready exactly if a run would start."""

import io
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from motion_adapt.flows.run.presets import load_settings
from motion_adapt.flows.upkeep.doctor import examine
from motion_adapt.tasks.runtime.place import Place


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([], None),
        (["objects=5"], "the oclr checkpoint has 3 objects, the settings say objects=5"),
        (["precision=bfloat16"], "wrong settings: precision=bfloat16 needs a GPU"),
        (["proposal.folder=missing"], "wrong settings: proposal.folder: there is no folder missing"),
        (["selection.given=missing"], "wrong settings: selection.given: there is no folder missing"),
        # no run loads them
        (["features.selector.backbone=vit_small_patch16_224.dino", "selection.method=propagation"], None),
        (["selection.method=score"], "the selector checkpoint is of the kind 'error_map'"),
    ],
)
def test_settings_that_a_run_would_refuse_are_not_ready(
    overrides: list[str], said: str | None, prefect_server: None, smoke_weights: Path, tmp_path: Path
) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    place = Place(store=str(tmp_path / "store"), device="cpu", threads=1)
    settings = load_settings(overrides=["selection.method=error_map", *overrides])
    healthy = examine(console, "compact", settings, smoke_weights, place)
    text = console.export_text()
    assert healthy is (said is None), text
    assert said is None or said in text
    assert "Prefect server: answers at http://127.0.0.1" in text


def test_a_system_without_tests_is_named(
    prefect_server: None, smoke_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    place = Place(store=str(tmp_path / "store"), device="cpu", threads=1)
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert examine(console, "compact", load_settings(), smoke_weights, place)
    assert "note  system: tested on Linux only, never on Darwin" in console.export_text()


def test_a_network_of_another_kind_is_no_start_of_clip_networks(
    prefect_server: None, smoke_weights: Path, tmp_path: Path
) -> None:
    weights = Path(shutil.copytree(smoke_weights, tmp_path / "weights"))
    shutil.copy(weights / "oclr.safetensors", weights / "clip_network.safetensors")
    console = Console(width=200, record=True, file=io.StringIO())
    place = Place(store=str(tmp_path / "store"), device="cpu", threads=1)
    assert not examine(console, "compact", load_settings(), weights, place)
    assert (
        f"wrong clip networks' start: {weights}/clip_network.safetensors is a checkpoint of the oclr"
        in console.export_text()
    )
