"""Runs at the same time on one store and one MLflow: nothing is computed twice, mixed up or damaged."""

import json
from collections import Counter
from pathlib import Path

import pytest

from motion_adapt.flows.reports.run_report import Report
from tests.flows.conftest import FRAMES, SETTINGS, Home, make_home
from tests.flows.killing import Command
from tests.flows.test_killed import check_the_end


def start(home: Home, name: str, *options: object, command: str = "adapt") -> Command:
    told = home.path / f"{name}.json"
    given = [*home.options(), "--json", told, *options]
    return Command(command, home.clips, *given, log=home.path / f"{name}.log")


def computed(home: Home, *names: str) -> Counter[str]:
    """Return how often all runs together computed each stage."""
    total: Counter[str] = Counter()
    for name in names:
        stages = json.loads((home.path / f"{name}.json").read_text())["stages"]
        total.update({stage: count["computed"] for stage, count in stages.items() if count["computed"]})
    return total


@pytest.mark.slow
def test_a_clip_segmented_twice_at_once_is_segmented_once(home: Home) -> None:
    both = [
        start(home, name, "--clips", "heron", "--fast", "--output", home.path / name, command="segment")
        for name in ("first", "second")
    ]
    for command in both:
        assert command.wait() == 0, command.log.read_text()
    assert sum(computed(home, "first", "second").values()) == len(home.digests())
    assert not list(home.store.verify())
    first, second = (
        {path.name: path.read_bytes() for path in (home.path / name).rglob("*.png")}
        for name in ("first", "second")
    )
    assert first == second and len(first) == FRAMES + 1


@pytest.mark.slow
def test_one_adaptation_started_twice_is_one_adaptation(adapted: tuple[Home, Report], home: Home) -> None:
    undisturbed, report = adapted
    both = [start(home, name) for name in ("first", "second")]
    for command in both:
        assert command.wait() == 0, command.log.read_text()
    alone = {stage: count["computed"] for stage, count in report.stages.items()}
    assert computed(home, "first", "second") == alone
    assert not list(home.store.verify())
    check_the_end(home, undisturbed)


@pytest.mark.slow
def test_two_adaptations_share_what_they_have_in_common_and_nothing_else(
    adapted: tuple[Home, Report], home: Home, tmp_path: Path, empty_database: Path
) -> None:
    undisturbed, _ = adapted
    (home.path / "mlflow.db").unlink()  # both find no database, and one of them creates it
    other = ["--clips", "heron", "--set", "seed=3", "--experiment", "other", "--output", home.path / "other"]
    both = [start(home, "first"), start(home, "second", *other)]
    for command in both:
        assert command.wait() == 0, command.log.read_text()
    alone = make_home(tmp_path / "alone", home.weights, home.clips, empty_database)
    alone.adapt(clips=["heron"], settings=SETTINGS.model_copy(update={"seed": 3}))

    assert not list(home.store.verify())
    assert home.digests() == undisturbed.digests() | alone.digests()
    assert sum(computed(home, "first", "second").values()) == len(home.digests())
    for output, wanted in ((home.output, undisturbed.output), (home.path / "other", alone.output)):
        masks = {path.relative_to(wanted): path.read_bytes() for path in wanted.rglob("masks/*/*.png")}
        assert masks == {
            path.relative_to(output): path.read_bytes() for path in output.rglob("masks/*/*.png")
        }
    assert len(home.tracker.rounds()) == 2
