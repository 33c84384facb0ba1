"""Segment: compute masks of one video or a folder, with the weights as they are.

    materialise -> propose -> select -> correct -> smooth -> second opinion -> clip network -> edges -> final masks
    and pictures

With RAFT or ready-made flow, the steps from the proposals to the edges are done once more, from DIS flow.

Nothing is trained but each clip's own network, and its own corrector if the settings enable one. Nothing is tracked.
Memory does not grow with the length of a video.
"""

import time
from dataclasses import asdict
from pathlib import Path

from prefect import flow

from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.rounds.by_hand import add_by_hand, find_by_hand
from motion_adapt.flows.rounds.doubtful import list_doubtful
from motion_adapt.flows.rounds.materials import add_features, add_flow, open_run, read_frames
from motion_adapt.flows.rounds.ready_made import require_flow, require_proposals
from motion_adapt.flows.rounds.results import export_clips, output_folder, results_folder
from motion_adapt.flows.rounds.round_metrics import clip_figures
from motion_adapt.flows.rounds.rounds import first_round
from motion_adapt.flows.rounds.scoring import measure_round
from motion_adapt.flows.rounds.shots import join_shots, split_shots, take_frames
from motion_adapt.flows.rounds.state import Work
from motion_adapt.flows.run.prechecks import find_refiner, require_settings
from motion_adapt.flows.run.presets import known_benchmark, load_settings
from motion_adapt.flows.run.runners import DEFAULT_RUNNER, resolved
from motion_adapt.flows.run.start_weights import champion_weights, find_weights, require_one_start, smoke_note
from motion_adapt.flows.run.tracking import Tracking
from motion_adapt.flows.run.weight_checks import not_label_free, provenance
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.settings import Settings


@flow(name="segment", task_runner=DEFAULT_RUNNER)
def segment(
    source: str,
    settings: Settings | None = None,
    preset: str = "compact",
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
    """Segment the clips of a source. Arguments are as in `adapt`."""
    began = time.monotonic()
    settings = settings or load_settings(preset, data_set=known_benchmark(source, dataset))
    require_one_start(weights, from_champion)
    place = resolved(place)
    report = Report("segment", source)
    require_settings(settings, place.device)
    refiner = find_refiner(settings.sam)
    results = output_folder(output, source, prune)
    all_clips = not (clips or split or prune or dataset)
    run = open_run(source, place, clips=clips, split=split, prune=prune, dataset=dataset, results=results)
    take_frames(run, settings)
    require_flow(run, settings, prune)
    require_proposals(run, settings, prune)
    run.begin_record("segment", source)
    if from_champion:
        start = champion_weights(run, settings, tracking.open(source, create=False))
    else:
        start = find_weights(run, settings, preset, Path(weights) if weights else None)
    masks = find_by_hand(run, settings, all_clips=all_clips)
    run.export_to(results)
    materials = read_frames(run, source, settings, prune=prune)
    split_shots(run, materials, settings, prune=prune)
    run.require_clips(source)
    add_by_hand(run, materials, settings, masks, pruned=bool(prune))
    folder = results_folder(run, materials, output, source, prune)
    if why := not_label_free(settings):
        run.warn(why)
    add_flow(run, materials, settings)
    add_features(run, materials, settings, start)

    work = Work(run, settings, materials, refiner)
    only = first_round(work, start)
    measure_round(work, only, None)
    shown = only.behind_the_masks()
    export_clips(run, materials, shown, folder, settings)
    run.require_clips(source)
    join_shots(run, materials, folder)
    doubtful, _ = list_doubtful(run, materials, shown, folder)
    report.doubtful = [asdict(item) for item in doubtful]

    report.output = str(folder)
    report.by_hand = {name: list(frames) for name, frames in materials.by_hand.items()}
    report.provenance = provenance(settings, by_hand=materials.masks_by_hand, learnt=start.by_hand(run))
    report.figures = smoke_note(run, start)
    report.clips = {name: clip_figures(run, only, name) for name in run.clips}
    report.take(run)
    run.end_record()
    report.seconds["total"] = time.monotonic() - began
    return report
