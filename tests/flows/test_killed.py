"""A killed run that is started again with the same command ends like an undisturbed one."""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from motion_adapt.flows.reports.run_report import Report
from motion_adapt.models.training.state_file import StateFile
from motion_adapt.storage.registry import Registry
from motion_adapt.storage.tracking import KIND_TAG
from tests.examples import SOAK
from tests.flows.conftest import Home, make_home
from tests.flows.killing import Command, Fuse
from tests.flows.servers import training_begun

KILLS, SECONDS = 200, 2400.0  # of a soak: this many kills, or as many as fit into this time
# The worst moments for a kill. Each is tested at a call that the seed draws.
MOMENTS = {
    "an array has its shape and not yet its values": ("zarr:Array.resize", True, 12),
    "all arrays are written and the manifest is not": (
        "motion_adapt.storage.artifacts.files:StoreFiles.put_manifest",
        False,
        8,
    ),
    "a file is ready and not yet in its place": ("pathlib:Path.replace", False, 30),
    "the adaptation is in MLflow and its rounds are not": (
        "motion_adapt.storage.tracking:Tracker.begin",
        True,
        1,
    ),
    "a step is trained and its state is saved": (
        "motion_adapt.models.training.state_file:StateFile.write",
        True,
        4,
    ),
    "points of a curve are in MLflow and the rest are not": (
        "motion_adapt.storage.tracking:Tracker.curve",
        True,
        6,
    ),
    "masks are replaced and their stamp is not": ("motion_adapt.storage.results.export:write_masks", True, 2),
}
# That of `make test`: within a stage.
FEW = ("all arrays are written and the manifest is not",)


class Watch:
    """Checks after every kill what must hold for a home at any moment, with or without a run."""

    def __init__(self, home: Home, undisturbed: Home) -> None:
        self.home, self.wanted = home, undisturbed.digests()
        # By training: (lines of its curve, steps in its state).
        self._before: dict[Path, tuple[int, int]] = {}

    def look(self) -> None:
        assert self.home.digests() <= self.wanted
        assert not list(self.home.store.verify())
        self._look_at_trainings()

    def _look_at_trainings(self) -> None:
        """Check that every training resumed from the state that the last kill left, without repeating earlier steps."""
        now = {}
        for curve in Path(self.home.place.scratch).glob("*.curve"):
            steps = [json.loads(line)[0] for line in curve.read_text().splitlines()]
            known, done = self._before.get(curve, (0, 0))
            if steps[known:]:
                assert steps[known] == done + 1, f"{curve.name}: {steps}, {done} were saved"
            state = StateFile(curve.with_suffix(".pt")).read()
            now[curve] = len(steps), state["step"] if state else 0
        self._before = now


def adapt(home: Home, *start: str, fuse: Fuse | None = None) -> Command:
    return Command("adapt", home.clips, *home.options(*start), log=home.path / "log", fuse=fuse)


def check_the_end(home: Home, undisturbed: Home) -> None:
    """Check that artifacts, masks, pictures and MLflow are as after an undisturbed run."""
    assert home.digests() == undisturbed.digests()
    for made in undisturbed.output.rglob("*"):
        if made.suffix == ".png":
            there = home.output / made.relative_to(undisturbed.output)
            assert there.read_bytes() == made.read_bytes(), there
    assert not [
        path
        for path in Path(home.place.scratch).rglob("*")
        if path.is_file() and path.parent.name != ".locks"
    ]
    trackers = home.tracker, undisturbed.tracker
    for kind in ("adaptation", "round"):
        mine, theirs = (
            sorted(
                tracker.client.search_runs([tracker.experiment_id], f"tags.`{KIND_TAG}` = '{kind}'"),
                key=lambda run: run.info.start_time,
            )
            for tracker in trackers
        )
        assert len(mine) == len(theirs)
        assert {run.info.status for run in mine} == {"FINISHED"}
        for run, other in zip(mine, theirs, strict=True):
            assert run.data.params == other.data.params
            assert run.data.metrics.keys() == other.data.metrics.keys()
            for name in run.data.metrics:
                points, wanted = (
                    [
                        (point.step, point.value)
                        for point in tracker.client.get_metric_history(item.info.run_id, name)
                    ]
                    for tracker, item in zip(trackers, (run, other), strict=True)
                )
                if not name.startswith("seconds_per_frame"):
                    assert sorted(points) == sorted(wanted), name
                assert len(points) == len(wanted), name
    versions = [
        tracker.client.search_model_versions(f"name = '{Registry(tracker).model}'") for tracker in trackers
    ]
    assert len(versions[0]) == len(versions[1])


@pytest.mark.parametrize("moments", [FEW, pytest.param(tuple(MOMENTS), marks=pytest.mark.slow)])
def test_killed_at_its_worst_moments_a_run_ends_as_an_undisturbed_one(
    adapted: tuple[Home, Report], home: Home, moments: tuple[str, ...]
) -> None:
    undisturbed, _ = adapted
    dice, watch = random.Random(7), Watch(home, undisturbed)
    for moment in moments:
        function, after, most = MOMENTS[moment]
        command = adapt(home, fuse=Fuse(function, dice.randint(1, most), after))
        assert command.wait() == -9, f"{moment}: {command.log.read_text()}"
        watch.look()
    last = adapt(home)
    assert last.wait() == 0, last.log.read_text()
    check_the_end(home, undisturbed)


@pytest.mark.parametrize(
    ("signals", "status"),
    [
        pytest.param([signal.SIGINT], 130, marks=pytest.mark.slow),
        ([signal.SIGINT] * 2, 130),  # pressed twice, as impatient people do
        pytest.param([signal.SIGTERM], -signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_stopped_in_a_long_training_a_run_ends_soon_and_keeps_its_state(
    again: Home, signals: list[signal.Signals], status: int
) -> None:
    home, before = again, again.digests("adapted-corrector")
    endless = [*home.options(), "--set", "corrector_adaptation.steps=1000000"]
    command = Command("adapt", home.clips, *endless, log=home.path / "log")
    command.wait_for(lambda: training_begun(Path(home.place.scratch)))
    for number in signals:
        command.signal(number)
        time.sleep(0.05)
    assert command.wait() == status, command.log.read_text()
    if status == 130:
        assert "the same command resumes where this one stopped" in command.log.read_text()
    (state,) = Path(home.place.scratch).glob("adapted-corrector-*.pt")
    saved = StateFile(state).read()
    assert saved and saved["step"] >= 1
    (run,) = home.tracker.adaptations()
    assert run.info.status == "FAILED" and home.digests("adapted-corrector") == before


@pytest.mark.slow
def test_a_promotion_does_not_change_a_resumed_run(again: Home) -> None:
    again.adapt()
    tracker, command = again.tracker, ("--from", "champion", "--rounds", "0")
    (first,) = tracker.adaptations()
    Registry(tracker).promote(2)  # the adapted networks
    # Before flow is computed, which may take hours.
    cut_off = adapt(again, *command, fuse=Fuse("motion_adapt.flows.adapt:add_flow"))
    assert cut_off.wait() == -9, cut_off.log.read_text()
    Registry(tracker).promote(1)  # the networks that `first` started from
    goes_on = adapt(again, *command)
    assert goes_on.wait() == 0, goes_on.log.read_text()
    from_champion, same = tracker.adaptations()
    assert same.info.run_id == first.info.run_id
    assert from_champion.info.status == "FINISHED"
    for network in ("oclr", "corrector"):
        assert from_champion.data.tags[f"start.{network}"] != first.data.tags[f"start.{network}"]


@pytest.mark.slow
def test_killed_at_any_moment_a_run_ends_as_an_undisturbed_one(
    adapted: tuple[Home, Report], tmp_path: Path, empty_database: Path
) -> None:
    undisturbed, report = adapted
    seed = int.from_bytes(os.urandom(4), "big") if SOAK else 0
    dice = random.Random(seed)
    print(f"seed {seed}")
    until, kills, ends = time.monotonic() + SECONDS, 0, 0
    while kills < KILLS and time.monotonic() < until:
        home = make_home(tmp_path / str(ends), undisturbed.weights, undisturbed.clips, empty_database)
        watch = Watch(home, undisturbed)
        while True:
            command = adapt(home)
            status = command.kill_after(dice.uniform(0, report.seconds["total"] / 3))
            if status == 0:
                break
            assert status == -9, command.log.read_text()
            kills += 1
            watch.look()
        check_the_end(home, undisturbed)
        ends += 1
    print(f"{kills} kills, {ends} ends")
    assert kills >= 20 and ends
