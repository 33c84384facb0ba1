"""The gate's decisions are followed: which round the next starts from, whose masks are written, and the champion."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.rounds.ledger import Ledger
from motion_adapt.flows.rounds.materials import Materials
from motion_adapt.flows.rounds.rounds import better_masks
from motion_adapt.flows.rounds.state import Round, Work
from motion_adapt.flows.run.start_weights import StartWeights
from motion_adapt.flows.run.tracking import Tracking
from motion_adapt.models.quality.gate import Decision, Verdict
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.registry import Registry
from motion_adapt.tasks.settings import Settings
from tests.flows.conftest import FRAMES, PLAIN, SETTINGS, Home

RUINOUS = PLAIN.model_copy(
    update={  # at this rate masks become empty; at 10, their measures are those of chance
        name: getattr(SETTINGS, name).model_copy(update={"learning_rate": 1e4})
        for name in ("corrector_adaptation", "oclr_finetuning")
    }
)


def gone_on_from(home: Home, report: Report, index: int) -> str:
    """Return the corrector from which a round's corrector was adapted."""
    made = home.store.manifest(home.store.resolve(report.rounds[index]["weights"]["corrector"]))
    return str(made.inputs["weights"])


def champion_round(home: Home) -> str:
    found = Registry(home.tracker).champion()
    assert found is not None
    return home.tracker.get(found[1]).data.tags["round"]


def test_a_round_that_collapses_is_rolled_back(again: Home) -> None:
    report = again.adapt(settings=RUINOUS, rounds=2)
    decisions = [item["decision"] for item in report.rounds]
    assert decisions[:2] == ["keep", "roll_back"] and decisions[2] != "keep"
    for item in report.rounds[1:]:
        assert any("more than" in reason for reason in item["reasons"])
    start = report.rounds[0]["weights"]["corrector"]
    assert gone_on_from(again, report, 1) == gone_on_from(again, report, 2) == start
    assert report.final["round"] == 0
    assert champion_round(again) == "0"
    again.adapt(rounds=0, settings=PLAIN, output=str(again.path / "alone"))
    masks, wanted = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.png")}
        for folder in (again.output / "masks", again.path / "alone" / "masks")
    )
    assert masks == wanted and len(masks) == 2 * FRAMES


@pytest.mark.parametrize(
    ("adapts", "stays", "stage"),
    [
        ("oclr", "corrector", "adapted-corrector"),
        pytest.param("corrector", "oclr", "finetuned-oclr", marks=pytest.mark.slow),
    ],
)
def test_a_network_that_no_round_adapts_stays_as_it_is(
    again: Home, adapts: str, stays: str, stage: str
) -> None:
    report = again.adapt(settings=PLAIN.model_copy(update={"adapts": adapts}))
    before, after = (item["weights"] for item in report.rounds)
    assert [name for name in ("oclr", "corrector") if after[name] == before[name]] == [stays]
    assert stage not in report.stages


def made(clip: str, what: object) -> Artifact:
    return Artifact(stage="a stage", key=f"{clip}-{what}", attempt="", digest="")


def test_what_led_to_masks_of_another_round_or_pass_goes_with_them() -> None:
    def a_round(index: int) -> Round:
        stages = ("proposal", "selection", "correction", "smoothed", "edges", "final")
        steps = {stage: {clip: made(clip, index) for clip in ("heron", "tram", "goat")} for stage in stages}
        return Round(index, StartWeights(), **steps)  # type: ignore[arg-type]

    first, second, by_dis = a_round(0), a_round(1), a_round(2)
    by_dis.from_dis = True
    second.taken = {"tram": first, "goat": by_dis}
    for clip, other in second.taken.items():
        second.edges[clip], second.final[clip] = other.edges[clip], other.final[clip]
    materials = Materials(
        flow={clip: made(clip, "own") for clip in second.edges},
        dis_flow={clip: made(clip, "dis") for clip in second.edges},
    )
    behind = second.behind_the_masks()
    for shown in (second, behind):
        assert [shown.flow_of(clip, materials).key for clip in ("heron", "tram", "goat")] == [
            "heron-own",
            "tram-own",
            "goat-dis",
        ]
    for stage in ("proposal", "selection", "correction", "smoothed", "edges", "final"):
        assert {name: made.key for name, made in getattr(behind, stage).items()} == {
            "heron": "heron-1",
            "tram": "tram-0",
            "goat": "goat-2",
        }
    assert second.proposal["tram"].key == "tram-1"  # the round keeps its own steps
    assert behind.by_network == {}


def test_each_clip_has_the_masks_that_fit_best_and_its_own_among_equals() -> None:
    fits = {
        "heron": (1.0, 1.0, 1.0),  # of this round, of the one before, and of this one from DIS flow
        "tram": (1.0, 1.1, 1.05),
        "goat": (1.0, 0.9, 1.1),
        "swan": (None, None, 0.2),  # its own masks show no border
        "dog": (None, None, None),
    }
    summaries = {f"{clip}-{place}": fit for clip, three in fits.items() for place, fit in enumerate(three)}

    def summary(artifact: Artifact) -> dict[str, float | None]:
        return {"fit": summaries[artifact.key]}

    this, before, by_dis = (
        Round(index, StartWeights(), edges={clip: made(clip, place) for clip in fits})
        for place, index in enumerate((1, 0, 1))
    )
    before.taken = {"tram": Round(0, StartWeights(), from_dis=True)}
    work = cast(Work, SimpleNamespace(run=SimpleNamespace(summary=summary)))
    wanted = {"tram": before.taken["tram"], "goat": by_dis, "swan": by_dis}
    assert better_masks(work, this, [before, by_dis]) == wanted
    assert set(better_masks(work, this, [before])) == {"tram"}
    del before.edges["tram"]
    assert better_masks(work, this, [before, by_dis])["tram"] is by_dis


def test_with_ready_made_proposals_the_corrector_is_adapted() -> None:
    settings = Settings.model_validate({"proposal": {"folder": "proposals"}})
    assert settings.adapts_corrector and not settings.adapts_oclr


@pytest.mark.slow
def test_the_next_round_starts_from_a_held_one_whose_masks_are_not_used(
    again: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Decision(Verdict.HOLD, ("a person should look",))
    monkeypatch.setattr("motion_adapt.flows.adapt.gate", lambda *_: held)
    report = again.adapt(rounds=2, settings=PLAIN)
    assert [item["decision"] for item in report.rounds] == ["keep", "hold", "hold"]
    assert gone_on_from(again, report, 2) == report.rounds[1]["weights"]["corrector"]
    assert report.final["round"] == 0
    assert champion_round(again) == "0"


def test_a_round_that_is_no_worse_replaces_the_champion(empty_database: Path, tmp_path: Path) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    tracker = Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="clips").open("")
    ledger = Ledger(tracker, source="clips", settings=SETTINGS, asked={}, start={}, figures="")

    def promote(name: str, **metrics: float) -> str:
        run = tracker.begin(kind="round", key=name, name=name, params={}, parent=ledger.parent)
        tracker.log(run, metrics)
        return ledger.promote(Registry(tracker).register(run, "checkpoints", {}), metrics)

    first = {"flow_consistency": 0.6, "agreement_previous": 0.9, "identity_previous": 1.0}
    assert promote("a", **first) == "version 1 is the first champion"
    assert promote("a", **first) == "version 1 stays champion"
    told = promote("worse", **first | {"flow_consistency": 0.4})
    assert told.startswith("version 1 stays champion: flow_consistency 0.600 -> 0.400")
    assert promote("a round 0", flow_consistency=0.6) == "version 3 replaces version 1 as champion"
    assert promote("a round 1", **first) == "version 4 replaces version 3 as champion"
    ledger = Ledger(tracker, source="clips", settings=SETTINGS, asked={}, start={}, figures="", pruned=True)
    assert (
        promote("a smoke run", **first)
        == "version 5 is not proposed as champion: --prune left out most of the frames"
    )
    champion = Registry(tracker).champion()
    assert champion is not None and champion[0] == 4


def test_a_smoke_run_keeps_its_results_apart_and_never_becomes_champion(
    again: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(again.path)
    elsewhere = again.tracking.model_copy(update={"experiment": ""})
    plain = {"rounds": 0, "tracking": elsewhere, "settings": PLAIN}
    report = again.adapt(prune=1, output=None, **plain)
    assert report.output == "motion-adapt/results/clips-pruned"
    assert report.mlflow["experiment"] == "clips-pruned"
    assert (
        "not proposed as champion" in report.champion
        and Registry(elsewhere.open(str(again.clips), prune=1)).champion() is None
    )
    whole = again.adapt(**plain)
    assert whole.mlflow["experiment"] == "clips" and whole.champion == "version 1 is the first champion"
    # The source's own folder: there is none for smoke runs.
    told = again.adapt(prune=1, output=None, weights=None, from_champion=True, **plain)
    assert told.rounds[0]["weights"] == whole.rounds[0]["weights"]
    again.segment(prune=1, output=None, settings=PLAIN)
    assert [path.name for path in (again.path / "motion-adapt" / "results").iterdir()] == ["clips-pruned"]


def test_a_clip_far_behind_the_others_is_corrected_but_not_trained_on(
    again: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "motion_adapt.flows.rounds.adapt_models.far_behind", lambda quality: sorted(quality)[:1]
    )
    report = again.adapt(rounds=1, settings=PLAIN)
    first, second = sorted(report.clips)
    (warning,) = (text for text in report.warnings if "is left out of the trainings" in text)
    assert warning.startswith(f"round 1: {first} is left out of the trainings: its quality in round 0")
    for model in ("corrector", "oclr"):
        made = again.store.manifest(again.store.resolve(report.rounds[1]["weights"][model]))
        (labels,) = (given for name, given in made.inputs.items() if name.startswith("labels"))
        taught = again.store.manifest(again.store.manifest(labels).inputs["masks"])
        assert taught.stage == "correction"
        assert taught.inputs["weights"].stage == ("weights" if model == "corrector" else "adapted-corrector")
    assert "adapted/J" in report.rounds[1]["metrics"]
    assert {path.name for path in (again.output / "masks").iterdir()} == {first, second}
