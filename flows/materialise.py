"""Materialise: compute frames, optical flow and features of every clip once, into the store.

    for each clip:  decode and validate its frames
    for each clip:  flow at the gap of inference (and of adaptation), forward and backward; with RAFT or ready-made
                    flow, that of DIS too
    for each clip:  features for the corrector (16x28) and, if the settings use it, for the selector (8x14)

A clip that cannot be read is set aside with the reason, and the others continue.
"""

import time
from pathlib import Path

from prefect import flow

from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.rounds.materials import (
    add_adaptation_flow,
    add_features,
    add_flow,
    open_run,
    read_frames,
)
from motion_adapt.flows.rounds.ready_made import require_flow
from motion_adapt.flows.rounds.shots import split_shots, take_frames
from motion_adapt.flows.run.prechecks import require_settings
from motion_adapt.flows.run.presets import known_benchmark, load_settings
from motion_adapt.flows.run.runners import DEFAULT_RUNNER, resolved
from motion_adapt.flows.run.start_weights import find_backbones
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.settings import Settings


@flow(name="materialise", task_runner=DEFAULT_RUNNER)
def materialise(
    source: str,
    settings: Settings | None = None,
    preset: str = "compact",
    clips: list[str] | None = None,
    split: str | None = None,
    prune: int | None = None,
    dataset: str | None = None,
    weights: str | None = None,
    place: Place = Place(),
) -> Report:
    """Compute frames, flow and features of the clips of a source. Arguments are as in `adapt`."""
    began = time.monotonic()
    settings = settings or load_settings(preset, data_set=known_benchmark(source, dataset))
    report = Report("materialise", source)
    place = resolved(place)
    require_settings(settings, place.device)
    run = open_run(source, place, clips=clips, split=split, prune=prune, dataset=dataset)
    run.begin_record("materialise", source)
    take_frames(run, settings)
    require_flow(run, settings, prune)
    materials = read_frames(run, source, settings, prune=prune)
    split_shots(run, materials, settings, prune=prune)
    run.require_clips(source)
    backbones = find_backbones(run, settings, Path(weights) if weights else None)
    add_flow(run, materials, settings)
    add_adaptation_flow(run, materials, settings)
    add_features(run, materials, settings, backbones)
    run.require_clips(source)
    report.take(run)
    report.clips = {name: run.summary(materials.frames[name]) for name in run.clips}
    run.end_record()
    report.seconds["total"] = time.monotonic() - began
    return report
