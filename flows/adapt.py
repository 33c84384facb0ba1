"""Adapt: segment a folder of unlabelled videos and adapt the models to them.

    materialise     frames, flow and features of every clip
    round 0         propose -> select -> correct, with the start weights
    round r         fine-tune OCLR on round r-1's masks and, if the settings say so, adapt the corrector on them
                    propose -> select -> correct, with the adapted models
    every round     smoothed along the flow; a network of each clip's own is averaged into the final masks, and
                    their borders move to where colour or motion changes; with RAFT or ready-made flow, all
                    this is done from DIS flow too, and each clip has the masks that fit it better
                    measured without labels and tracked in MLflow; the gate keeps, holds or rolls back
    at the end      masks and pictures of the round that the gate kept; scores if labels exist; all rounds on a page

Only the evaluation stages open annotations. Whatever the store already has is not recomputed.
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow

from motion_adapt.flows.reports.publish import PAGE, publish_comparison
from motion_adapt.flows.reports.run_report import Report, mean_scores
from motion_adapt.flows.rounds.by_hand import add_by_hand, find_by_hand
from motion_adapt.flows.rounds.doubtful import list_doubtful
from motion_adapt.flows.rounds.ledger import Ledger
from motion_adapt.flows.rounds.materials import (
    add_adaptation_flow,
    add_features,
    add_flow,
    digest_clips,
    open_run,
    read_frames,
)
from motion_adapt.flows.rounds.ready_made import require_flow, require_proposals
from motion_adapt.flows.rounds.results import export_clips, output_folder, results_folder
from motion_adapt.flows.rounds.round_metrics import clip_figures, round_metrics
from motion_adapt.flows.rounds.rounds import first_round, next_round
from motion_adapt.flows.rounds.scoring import annotated, measure_round, score_round
from motion_adapt.flows.rounds.shots import join_shots, split_shots, take_frames
from motion_adapt.flows.rounds.state import Round, Work
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.prechecks import find_refiner, require_settings
from motion_adapt.flows.run.presets import known_benchmark, load_settings
from motion_adapt.flows.run.runners import DEFAULT_RUNNER, resolved
from motion_adapt.flows.run.start_weights import (
    champion_weights,
    find_weights,
    require_one_start,
    smoke_note,
    weights_under_way,
)
from motion_adapt.flows.run.tracking import Tracking
from motion_adapt.flows.run.weight_checks import not_label_free, provenance
from motion_adapt.models.inputs.flow_estimators import flow_provenance
from motion_adapt.models.quality.gate import Decision, Verdict, gate
from motion_adapt.storage.keys import digest
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.settings import Settings


@flow(name="adapt", task_runner=DEFAULT_RUNNER)
def adapt(
    source: str,
    settings: Settings | None = None,
    preset: str = "compact",
    rounds: int = 1,
    clips: list[str] | None = None,
    split: str | None = None,
    prune: int | None = None,
    dataset: str | None = None,
    weights: str | None = None,
    from_champion: bool = False,
    output: str | None = None,
    place: Place = Place(),
    tracking: Tracking = Tracking(),
) -> Report:
    """Adapt the models to the clips of a folder and write their masks.

    Args:
        source: a video, a folder of frames, a folder of either, or a data set.
        settings: all settings of the run; if None, those of the preset and the environment.
        preset: the preset, whose shipped weights are used if neither `weights` nor `from_champion` is given.
        rounds: number of rounds after round 0; 0 only refines.
        clips: names of the clips to use; None uses all.
        split: a list of ImageSets whose clips to use, e.g. 2016/val.
        prune: for a smoke run, the number of clips, of 8 frames each; its models never become champion.
        dataset: which benchmark the source is, or "none"; if None, it is recognised by its clips' names.
        weights: a folder with the start weights.
        from_champion: start from the experiment's champion.
        output: folder for masks and pictures; default: motion-adapt/results/<source>, or <source>-pruned.
        place: store, device and threads.
        tracking: the MLflow database and experiment.
    """
    began = time.monotonic()
    settings = settings or load_settings(preset, data_set=known_benchmark(source, dataset))
    if rounds < 0:
        raise RunError(f"rounds: wanted 0 or more, got {rounds}")
    require_one_start(weights, from_champion)
    place = resolved(place)
    require_settings(settings, place.device)
    refiner = find_refiner(settings.sam)
    report = Report("adapt", source)
    tracker = tracking.open(source, prune)
    report.seconds["mlflow_start"] = time.monotonic() - began

    results = output_folder(output, source, prune)
    run = open_run(source, place, clips=clips, split=split, prune=prune, dataset=dataset, results=results)
    take_frames(run, settings)
    require_flow(run, settings, prune)
    require_proposals(run, settings, prune)
    run.begin_record("adapt", source)
    start = None if from_champion else find_weights(run, settings, preset, Path(weights) if weights else None)
    materials = digest_clips(run, prune=prune)
    masks = find_by_hand(run, settings, all_clips=not (clips or split or prune or dataset))
    asked: dict[str, Any] = {
        "clips": materials.content,
        "settings": settings.without_given(),  # the masks' content counts, not where they are
        "rounds": rounds,
        **({"given": masks.content} if masks.content else {}),
    }
    if start is None:
        asked["from"] = "champion"  # not which version: after a promotion it is still the same request
        under_way = weights_under_way(run, settings, tracker, digest(asked))
        start = under_way or champion_weights(run, settings, tracking.open(source, create=False))
    run.export_to(results)  # from here on, results of an earlier run are moved
    materials = read_frames(run, source, settings, prune=prune, materials=materials)
    split_shots(run, materials, settings, prune=prune)
    run.require_clips(source)
    add_by_hand(run, materials, settings, masks, pruned=bool(prune))
    folder = results_folder(run, materials, output, source, prune)

    learnt = start.by_hand(run)
    report.by_hand = {name: list(frames) for name, frames in materials.by_hand.items()}
    report.provenance = provenance(settings, by_hand=materials.masks_by_hand, learnt=learnt)
    if rounds and settings.adapts_oclr and (second := settings.oclr_finetuning.second_flow()):
        learnt_from = flow_provenance(second.estimator, second.weights)
        report.provenance["OCLR also learns from flow"] = learnt_from
    if why := not_label_free(settings):
        run.warn(why)
    report.figures = smoke_note(run, start)
    # Record the start weights before flow and features, which may take hours: a promotion must not change them.
    ledger = Ledger(
        tracker,
        source=source,
        settings=settings,
        asked=asked,
        start=start.keys(),
        figures=report.figures,
        pruned=bool(prune),
        by_hand=max(materials.masks_by_hand, learnt),
    )
    report.mlflow = {"uri": tracker.shown, "experiment": tracker.experiment, "run": ledger.parent}
    with ledger:
        add_flow(run, materials, settings)
        if rounds:
            add_adaptation_flow(run, materials, settings)
        add_features(run, materials, settings, start)
        run.require_clips(source)

        work = Work(run, settings, materials, refiner)
        kept = go_through_rounds(work, first_round(work, start), rounds, ledger, report)

        shown = kept.behind_the_masks()
        strips = export_clips(run, materials, shown, folder, settings)
        run.require_clips(source)
        join_shots(run, materials, folder)
        doubtful, pictures = list_doubtful(run, materials, shown, folder)
        report.doubtful = [asdict(item) for item in doubtful]
        report.clips = {name: clip_figures(run, kept, name) for name in run.clips}
        report.unscored = [name for name in run.clips if name not in kept.scores.get("final", {})]
        report.final = {"round": kept.index, **mean_scores(report.clips)}
        report.output = str(folder)
        report.take(run)
        report.seconds["total"] = time.monotonic() - began
        run.end_record()
        ledger.close(kept, strips, pictures, report)
        try:
            publish_comparison(tracker, ledger.parent, folder)
        except RunError as error:  # the masks are written, so a missing page does not fail the run
            run.warn(f"no {PAGE}: {error}")
            report.warnings = list(run.warnings)
    return report


def go_through_rounds(work: Work, this: Round, rounds: int, ledger: Ledger, report: Report) -> Round:
    """Judge round 0 and run `rounds` more. Returns the last round that the gate kept.

    Each round starts from the round before or, after a roll-back, from the last round kept. The models of the round
    returned are proposed as champion.
    """
    labels = annotated(work)
    kept, before = this, None  # round 0 is always kept
    best: dict[str, float] = {}
    for index in range(rounds + 1):
        if before is not None:
            this = next_round(work, index, before)
        work.run.require_clips(report.source)
        measure_round(work, this, before)
        score_round(work, this, labels)
        metrics = round_metrics(work, this)
        decision = gate(best, metrics) if index else Decision(Verdict.KEEP, ())
        version = ledger.write(work.run, this, metrics, decision)
        report.add_round(index, metrics, decision, this.weights.keys(), version)
        if decision.verdict is Verdict.KEEP:
            kept, best, kept_version = this, metrics, version
        before = kept if decision.verdict is Verdict.ROLL_BACK else this
    report.champion = ledger.promote(kept_version, best)
    return kept
