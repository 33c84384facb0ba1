"""The functions of the package, as a script or a notebook calls them."""

import asyncio
import doctest
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import motion_adapt
import motion_adapt.api
import motion_adapt.masks
from motion_adapt.flows.run.presets import load_settings
from tests.flows.conftest import FIELDS, FRAMES, SIZE, Home, child_environment

HEAVY = ("torch", "prefect", "mlflow", "pandas", "numpy", "pydantic", "rich", "typer")


def options(home: Home) -> dict[str, object]:
    """What a home's runs have in common, as arguments of the functions."""
    return {
        "settings": FIELDS,
        "weights": home.weights,
        "output": home.output,
        "store": home.path / "store",
        "tracking_uri": home.tracking.uri,
        "experiment": "clips",
        "device": "cpu",
        "threads": 1,
    }


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = f"import sys, motion_adapt; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_naming_a_function_and_its_error_imports_neither_torch_nor_prefect() -> None:
    code = (
        "import sys; from motion_adapt import RunError, segment; print({'torch', 'prefect'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_every_public_name_is_there_and_others_are_not() -> None:
    assert set(motion_adapt.__all__) == set(motion_adapt._MODULE_OF)
    assert all(callable(getattr(motion_adapt, name)) for name in motion_adapt.__all__)
    assert set(motion_adapt.__all__) <= set(dir(motion_adapt))
    with pytest.raises(AttributeError, match="no attribute 'segmnt'"):
        _ = motion_adapt.segmnt  # type: ignore[attr-defined]


def test_settings_are_changed_by_names_or_by_groups() -> None:
    wanted = load_settings(overrides=["gaps.inference=3", "flow.updates=12"])
    assert motion_adapt.load_settings(overrides={"gaps.inference": 3, "flow.updates": 12}) == wanted
    assert motion_adapt.load_settings(overrides={"gaps": {"inference": 3}, "flow.updates": 12}) == wanted


def test_within_a_running_loop_and_twice_in_one_process(
    again: Home, capfd: pytest.CaptureFixture[str]
) -> None:
    home = again
    for made in list(home.store.manifests("final")):
        home.store.delete(made)

    async def cells() -> tuple[motion_adapt.Segmentation, motion_adapt.Segmentation]:
        first = motion_adapt.segment(home.clips, **options(home))  # type: ignore[arg-type]
        return first, motion_adapt.segment(home.clips, **options(home))  # type: ignore[arg-type]

    first, second = asyncio.run(cells())
    assert capfd.readouterr() == ("", "")
    assert first.report.recomputed and not second.report.recomputed
    assert list(second.clips.index) == ["heron", "tram [raw]"]
    assert second.masks["tram [raw]"].shape == (FRAMES, *SIZE)
    with Image.open(home.output / "masks" / "heron" / "00003.png") as image:
        assert np.array_equal(second.masks["heron"][3], np.array(image))


def test_an_adaptation_is_the_one_of_the_command_line(again: Home) -> None:
    async def cell() -> motion_adapt.Adaptation:
        return motion_adapt.adapt(again.clips, **options(again))  # type: ignore[arg-type]

    result = asyncio.run(cell())
    assert not result.report.recomputed  # the flow called as it is has made all of it
    assert list(result.rounds.index) == [0, 1]
    assert result.page == again.output / "report.html"
    rounds = motion_adapt.compare_rounds(result.experiment, tracking_uri=result.tracking_uri)
    assert rounds["quality"].tolist() == pytest.approx(result.rounds["quality"].tolist())

    truth = again.clips / "Annotations" / "480p"
    scores = motion_adapt.evaluate(result, truth)
    assert scores.clips["J"].to_dict() == pytest.approx(result.clips["J"].dropna().to_dict())
    assert scores.mean["J"] == pytest.approx(scores.clips["J"].mean())


def test_errors_name_the_clips_the_setting_and_the_device(home: Home) -> None:
    broken = home.path / "broken" / "clip"
    broken.mkdir(parents=True)
    for name in ("0.png", "1.png"):
        (broken / name).write_bytes(b"no picture")
    with pytest.raises(motion_adapt.RunError, match=r"no clip of .*broken.*\n  clip: 0\.png"):
        motion_adapt.segment(broken.parent, **options(home))  # type: ignore[arg-type]
    with pytest.raises(motion_adapt.RunError, match="does not exist"):
        motion_adapt.segment(home.path / "nothing", **options(home))  # type: ignore[arg-type]
    with pytest.raises(motion_adapt.SettingsError, match=r"did you mean 'flow\.updates'"):
        motion_adapt.segment(home.clips, **{**options(home), "settings": {"flow.updats": 3}})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="device 'gpu7'"):
        motion_adapt.segment(home.clips, **{**options(home), "device": "gpu7"})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="prune: wanted 1 clip or more"):
        motion_adapt.segment(home.clips, **options(home), prune=0)  # type: ignore[arg-type]


def test_warnings_are_printed_only_if_progress_is_asked_for(
    example: Path, prefect_server: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (example / "annotations" / "tram").mkdir()
    masks = example / "annotations"
    quiet = motion_adapt.evaluate(masks, masks, clips=["heron"])
    assert quiet.mean["J"] == 1 and capsys.readouterr().err == ""
    told = motion_adapt.evaluate(masks, masks)
    assert list(told.set_aside) == ["tram"] and capsys.readouterr().err == ""
    shutil.copytree(masks / "heron", example / "predictions" / "heron")
    next((masks / "heron").iterdir()).unlink()  # its mask is extra
    loud = motion_adapt.evaluate(example / "predictions", masks, progress=True)
    assert loud.warnings and all(text in capsys.readouterr().err for text in loud.warnings[:1])


def test_examples_in_docstrings(example: Path, prefect_server: None) -> None:
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    # Each finds what those before made.
    for name in ("segment", "adapt", "compare_rounds", "load_masks", "evaluate"):
        (found,) = finder.find(getattr(motion_adapt, name), name, globs={"motion_adapt": motion_adapt})
        assert found.examples
        assert runner.run(found).failed == 0, name


ONCE = """
import asyncio
import motion_adapt
async def cell():
    for _ in range(2):
        motion_adapt.segment("clips", threads=1, prune=1)
asyncio.run(cell())
"""


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "import prefect"])
def test_a_process_of_its_own_prints_nothing(example: Path, prefect_database: Path, before: str) -> None:
    given = child_environment(example / "prefect", prefect_database)
    kept = "PREFECT_HOME"  # the others quieten Prefect, as the package must by itself
    environment = {
        name: value for name, value in given.items() if name == kept or not name.startswith("PREFECT_")
    }
    done = subprocess.run(
        [sys.executable, "-c", f"{before}\n{ONCE}"], capture_output=True, text=True, env=environment
    )
    lines = done.stderr.splitlines()
    if before:  # after the last run Prefect is as loud as it was
        lines = [line for line in lines if "Stopping temporary server" not in line]
    assert (done.stdout, lines, done.returncode) == ("", [], 0)
