"""Plan `segment` or `adapt`: the artifacts that a run would compute for a source, and their costs.

No Prefect server is started and nothing is written. The stages are those of a real run (`flows.plan.dry_run`).
"""

import shutil
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from motion_adapt.flows.plan.dry_run import PLANNED, DryRun
from motion_adapt.flows.plan.rates import GUESSED, Rates
from motion_adapt.flows.rounds.by_hand import add_by_hand, find_by_hand
from motion_adapt.flows.rounds.doubtful import doubt_clips
from motion_adapt.flows.rounds.filling import fill_clips
from motion_adapt.flows.rounds.materials import (
    PRUNED_FRAMES,
    add_adaptation_flow,
    add_features,
    add_flow,
    digest_clips,
    read_frames,
)
from motion_adapt.flows.rounds.ready_made import require_flow, require_proposals
from motion_adapt.flows.rounds.results import draw_clips
from motion_adapt.flows.rounds.rounds import first_round, next_round
from motion_adapt.flows.rounds.scoring import measure_round
from motion_adapt.flows.rounds.shots import split_shots, take_frames
from motion_adapt.flows.rounds.state import Work
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.prechecks import find_refiner, require_settings
from motion_adapt.flows.run.start_weights import named_weights
from motion_adapt.flows.run.weight_checks import require_fit
from motion_adapt.storage.clips.find_clips import find_clips
from motion_adapt.storage.clips.videos import Outline
from motion_adapt.storage.names import count_of
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.settings import SamSettings, Settings

START = {"segment": 12.0, "adapt": 20.0}  # seconds of imports, servers and the end of a run
PER_PIECE = 0.02  # seconds that Prefect and the store take for an artifact, computed or found
LIBRARIES = 1.1e9  # bytes of memory that the imported libraries take
# Bytes of the networks and arrays of one clip: compact; else on a CPU.
CLIP_MEMORY = {True: 0.8e9, False: 3e9}
NATIVE_FRAMES = 24  # native frames in memory at once, as bytes and floats


@dataclass
class StagePlan:
    """The artifacts that a run needs of one stage, and the costs of the missing ones."""

    stored: int = 0
    missing: int = 0
    seconds: float = 0.0
    bytes: float = 0.0
    sources: set[str] = field(default_factory=set)


@dataclass
class Plan:
    """The work and the costs of a run.

    Attributes:
        command: `segment` or `adapt`.
        source: as the user named it.
        clips: outline of every usable clip.
        set_aside: unusable clips, and why.
        stages: stored and missing artifacts, by stage in the order of the run.
        seconds: of the whole run, start and end included.
        disk: bytes that the store would grow by.
        free: bytes that are free where the store is; None for a remote store.
        memory: bytes of memory at the peak.
        warnings: reasons not to start the run as it is.
        device: on which networks would run.
        complete: whether it has all stages of the run; False if a file that they need is missing.
    """

    command: str
    source: str
    clips: dict[str, Outline]
    set_aside: dict[str, str]
    stages: dict[str, StagePlan]
    seconds: float
    disk: float
    free: float | None
    memory: float
    warnings: list[str]
    device: str
    complete: bool = True

    def json(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return {
            "command": self.command,
            "source": self.source,
            "device": self.device,
            "clips": {name: vars(size) for name, size in self.clips.items()},
            "set_aside": self.set_aside,
            "stages": {
                name: {**vars(found), "sources": sorted(found.sources)} for name, found in self.stages.items()
            },
            "seconds": self.seconds,
            "disk_bytes": self.disk,
            "free_bytes": self.free,
            "memory_bytes": self.memory,
            "complete": self.complete,
            "warnings": self.warnings,
        }


def make_plan(
    command: str,
    source: str,
    settings: Settings,
    place: Place,
    *,
    preset: str = "compact",
    rounds: int = 1,
    clips: list[str] | None = None,
    split: str | None = None,
    prune: int | None = None,
    dataset: str | None = None,
    weights: str | None = None,
    from_champion: bool = False,
    workers: int = 1,
) -> Plan:
    """Return the plan of a run. Arguments are as in `adapt`; `workers`: clips that are processed at once.

    A champion is not opened: its run is planned with the weights of the preset, which need not fit.

    Raises:
        RunError: if a run would end at once: the settings or weights do not fit, the source has no clips, or none of
            them has the ready-made flow or masks that the settings name.
    """
    require_settings(settings, place.device)
    try:
        found = find_clips(Path(source), only=clips or (), split=split, dataset=dataset)
    except (ValueError, OSError) as error:
        raise RunError(str(error)) from error
    run = DryRun.of(place, found, prune=prune)
    take_frames(run, settings)
    require_flow(run, settings, prune)
    require_proposals(run, settings, prune)
    for name in list(run.clips):
        run.look_at(name, PRUNED_FRAMES if prune else None)
    if run.clips:
        all_clips = not (clips or split or prune or dataset)
        fits = not from_champion
        go_through(
            run, command, source, settings, preset, rounds, prune, weights, all_clips=all_clips, fits=fits
        )
    return priced(run, command, source, settings, workers)


def go_through(
    run: DryRun,
    command: str,
    source: str,
    settings: Settings,
    preset: str,
    rounds: int,
    prune: int | None,
    weights: str | None,
    *,
    all_clips: bool,
    fits: bool,
) -> None:
    """Take the steps of `segment` or `adapt`; without start weights, as far as these are not needed.

    Raises:
        RunError: if the start weights disagree with the settings, unless `fits` is False.
    """
    materials = digest_clips(run, prune=prune)
    masks = find_by_hand(run, settings, all_clips=all_clips)
    materials = read_frames(run, source, settings, prune=prune, materials=materials)
    for name, made in materials.frames.items():
        if made.attempt != PLANNED:
            known, seen = run.summary(made), run.outlines[name]
            run.outlines[name] = Outline(known["frames"], known["height"], known["width"], seen.bytes)
    split_shots(run, materials, settings, prune=prune)  # only if the store has the cuts
    add_by_hand(run, materials, settings, masks, pruned=bool(prune))
    add_flow(run, materials, settings)
    if command == "adapt" and rounds:
        add_adaptation_flow(run, materials, settings)
    try:
        start = named_weights(run, settings, preset, Path(weights) if weights else None)
    except RunError as error:
        run.warn(f"{error}; what follows from flow is not in this plan")
        run.complete = False
        return
    if fits:
        require_fit(settings, {model: run.summary(ref)["settings"] for model, ref in start.networks.items()})
    add_features(run, materials, settings, start)
    try:
        refiner = find_refiner(settings.sam, download=False)
    except RunError as error:
        run.warn(f"{error}\nwithout it, the run would not start; refinement by SAM is not in this plan")
        run.complete = False
        refiner, settings = None, settings.model_copy(update={"sam": SamSettings()})
    work = Work(run, settings, materials, refiner)
    this = first_round(work, start)
    measure_round(work, this, None)
    for index in range(1, rounds + 1 if command == "adapt" else 1):
        before, this = this, next_round(work, index, this)
        measure_round(work, this, before)
    shown = this.behind_the_masks()
    draw_clips(run, materials, shown)
    fill_clips(run, materials, shown.final, settings)
    doubt_clips(run, materials, shown)


def priced(run: DryRun, command: str, source: str, settings: Settings, workers: int) -> Plan:
    """Add up the costs of a dry run."""
    rates, stages = Rates(run.place.open(), run.place), defaultdict[str, StagePlan](StagePlan)
    once = per_clip = 0.0
    for piece in run.pieces.values():
        stage, size = stages[piece.recipe.stage], run.outlines.get(piece.clip)
        if piece.stored:
            stage.stored += 1
            continue
        cost = rates.cost(piece, size)
        stage.missing += 1
        stage.seconds += cost.seconds
        stage.bytes += cost.bytes
        stage.sources.add(cost.source)
        once, per_clip = (once, per_clip + cost.seconds) if size else (once + cost.seconds, per_clip)
    side_by_side = max(min(workers, len(run.clips)), 1)
    seconds = START[command] + PER_PIECE * len(run.pieces) + once + per_clip / side_by_side
    folder = run.place.disk()
    disk, free = (
        sum(stage.bytes for stage in stages.values()),
        shutil.disk_usage(folder).free if folder else None,
    )
    largest = max((size.height * size.width for size in run.outlines.values()), default=0)
    compact = settings.features.corrector.backbone == "compact"
    memory = LIBRARIES + side_by_side * (CLIP_MEMORY[compact] + NATIVE_FRAMES * 3 * 4 * largest)
    warnings = list(run.warnings)
    if run.set_aside:
        warnings.append(f"{count_of(len(run.set_aside), 'clip')} would be set aside")
    if free is not None and disk > free:
        warnings.append(
            f"the store needs {disk / 1e9:.1f} GB more, but only {free / 1e9:.1f} GB are free there"
        )
    if memory > psutil.virtual_memory().available:
        available = psutil.virtual_memory().available / 1e9
        warnings.append(f"about {memory / 1e9:.1f} GB of memory are needed, {available:.1f} GB are free")
    if any(GUESSED in stage.sources for stage in stages.values()):
        warnings.append("the seconds are a guess for this GPU: this store has no figures of it yet")
    return Plan(
        command=command,
        source=source,
        clips={name: run.outlines[name] for name in run.clips},
        set_aside=run.set_aside,
        stages=dict(stages),
        seconds=seconds,
        disk=disk,
        free=free,
        memory=memory,
        warnings=warnings,
        device=run.place.device,
        complete=run.complete,
    )
