"""The options that `verify` suggests work as printed, and as `verify`'s own."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from motion_adapt.flows.cli.app import app
from motion_adapt.flows.run.presets import load_settings
from motion_adapt.models.inputs.flow import effective_gap
from motion_adapt.models.inputs.motion_check import Motion
from motion_adapt.storage.clips.find_clips import Clip
from motion_adapt.tasks.settings import GapSettings
from motion_adapt.tasks.verification import struggles
from tests.storage.copies import frame_of, labels_of, save

FRAMES = [np.zeros((128, 224, 3), np.uint8)] * 10


@pytest.mark.parametrize("speed", [0.9, 0.4, 0.1])
@pytest.mark.parametrize("given", [(1, 2), (1, 3), (2, 1)])
def test_advice_about_slow_motion_gives_valid_settings(
    speed: float, given: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    gaps = GapSettings(inference=given[0], adaptation=given[1])
    motion = Motion(moving=1.0, speed=speed, gap=gaps.inference)
    monkeypatch.setattr("motion_adapt.tasks.verification.measure_motion", lambda *_, **__: motion)
    (told,) = struggles(Clip("snail", Path("snail"), "frames", ()), FRAMES, gaps)
    options = [word for word in shlex.split(told.text.partition("; try ")[2]) if word != "--set"]
    planned = [f"gaps.inference={given[0]}", f"gaps.adaptation={given[1]}"]
    settings = load_settings(overrides=[*planned, *options])
    assert settings.gaps.inference == motion.better_gap
    assert len(options) == 1 or motion.better_gap == gaps.adaptation


@pytest.mark.parametrize(("gap", "frames"), [(7, 20), (5, 20), (3, 4)])
def test_no_gap_is_advised_that_would_not_help(
    gap: int, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaps = GapSettings(inference=gap, adaptation=gap + 1)
    motion = Motion(moving=1.0, speed=0.1, gap=effective_gap(frames, gap))
    monkeypatch.setattr("motion_adapt.tasks.verification.measure_motion", lambda *_, **__: motion)
    (told,) = struggles(Clip("snail", Path("snail"), "frames", ()), FRAMES[:1] * frames, gaps)
    assert told.text.startswith("the fastest motion is 0.1 pixels") and "try" not in told.text


def test_annotations_on_another_background_are_verified_as_the_run_reads_them(tmp_path: Path) -> None:
    purple = np.array([(128, 0, 128), (250, 50, 83)], np.uint8)
    for index in range(3):
        labels = labels_of(index, 1)
        save(tmp_path / "JPEGImages/480p/walk" / f"{index}.png", frame_of(labels))
        save(tmp_path / "Annotations/480p/walk" / f"{index}.png", purple[labels])
    refused = CliRunner().invoke(app, ["verify", str(tmp_path)])
    assert refused.exit_code == 1 and "mask_background=border" in refused.output.replace("\n", "")
    assert (
        CliRunner().invoke(app, ["verify", str(tmp_path), "--set", "mask_background=border"]).exit_code == 0
    )
