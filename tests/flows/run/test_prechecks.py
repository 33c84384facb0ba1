"""A run that cannot do what its settings ask for is refused before it touches a clip."""

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.prechecks import require_settings
from motion_adapt.flows.run.presets import load_settings
from motion_adapt.flows.upkeep.doctor import examine
from motion_adapt.tasks.runtime.place import Place

CRF = ["crf.enabled=true"]


@pytest.fixture
def without_crf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pydensecrf look as it does where it is not installed."""
    monkeypatch.setitem(sys.modules, "pydensecrf", None)


def test_a_crf_that_is_not_installed_is_refused_if_it_is_asked_for(without_crf: None) -> None:
    require_settings(load_settings(), "cpu")
    with pytest.raises(
        RunError, match=r"crf\.enabled needs the package pydensecrf2.*leave crf\.enabled at false"
    ):
        require_settings(load_settings(overrides=CRF), "cpu")


@pytest.mark.parametrize(("overrides", "said"), [([], "not available and not needed"), (CRF, "wrong CRF")])
def test_doctor_reports_a_crf_that_is_not_installed(
    overrides: list[str], said: str, without_crf: None, smoke_weights: Path, tmp_path: Path
) -> None:
    console = Console(width=300, record=True, file=io.StringIO())
    place = Place(store=str(tmp_path / "store"), device="cpu", threads=1)
    settings = load_settings(overrides=["selection.method=error_map", *overrides])
    assert examine(console, "compact", settings, smoke_weights, place) is (not overrides)
    assert said in console.export_text()
