"""Materialise: frames, optical flow and features of every clip, computed once into the store.

    for each clip:  decode and validate its frames
    for each clip:  flow at the gap of inference (and of adaptation), to both sides
    for each clip:  features for the corrector (16x28), and for the selector (8x14) where the settings have one

A clip that can't be read is set aside with its reason and the others go on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import flow

from flows.presets import known_benchmark, load_settings
from flows.report import Report
from flows.run import ByClip, Run, RunError
from flows.runners import DEFAULT_RUNNER, resolved
from flows.weights import NETWORK_METHODS, StartWeights, find_backbones
from models.features import CORRECTOR_GRID, SELECTOR_GRID
from models.flow import effective_gap
from storage.clips import find_clips
from storage.flo import flow_content
from storage.keys import Artifact
from storage.videos import content_digest
from tasks.features import extract_features
from tasks.flow import estimate_flow
from tasks.frames import decode
from tasks.settings import BackboneSettings, Settings
from tasks.stage import Place

PRUNED_FRAMES = 8


@dataclass
class Materials:
    """What is computed once per clip, by clip name."""

    content: dict[str, str] = field(default_factory=dict)
    frames: dict[str, Artifact] = field(default_factory=dict)
    flow: dict[int, dict[str, Artifact]] = field(default_factory=dict)  # by gap
    selector_tokens: dict[str, Artifact] = field(default_factory=dict)
    corrector_tokens: dict[str, Artifact] = field(default_factory=dict)


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
    """Frames, flow and features of the clips of a source; the arguments are those of `adapt`."""
    began = time.monotonic()
    settings = settings or load_settings(preset, data_set=known_benchmark(source, dataset))
    report = Report("materialise", source)
    run = open_run(source, resolved(place), clips=clips, split=split, prune=prune, dataset=dataset)
    run.begin_record("materialise", source)
    materials = read_frames(run, source, prune=prune)
    backbones = find_backbones(run, settings, Path(weights) if weights else None)
    add_flow(run, materials, settings, settings.gaps.inference)
    if settings.proposal.folder is None:  # ready-made proposals have no OCLR to fine-tune
        add_flow(run, materials, settings, settings.gaps.adaptation)
    add_features(run, materials, settings, backbones)
    run.require_clips(source)
    report.take(run)
    report.clips = {name: run.summary(materials.frames[name]) for name in run.clips}
    run.end_record()
    report.seconds["total"] = time.monotonic() - began
    return report


def open_run(
    source: str,
    place: Place,
    *,
    clips: list[str] | None = None,
    split: str | None = None,
    prune: int | None = None,
    dataset: str | None = None,
    results: Callable[[], Path] | None = None,
) -> Run:
    """Find the clips of `source`; `results` gives the folder that masks and pictures are to go to.

    Raises:
        RunError: where there is nothing to work on, or a clip that was asked for does not exist.
    """
    try:
        found = find_clips(Path(source), only=clips or (), split=split, dataset=dataset)
    except (ValueError, OSError) as error:
        raise RunError(str(error)) from error
    run = Run.of(place, found, prune=prune)
    if results:
        run.export_to(results())
    run.require_clips(source)
    return run


def read_frames(run: Run, source: str, *, prune: int | None) -> Materials:
    """Decode every clip; clips that can't be read are set aside."""
    limit = PRUNED_FRAMES if prune else None
    materials = Materials()
    for name, clip in run.clips.copy().items():
        try:
            materials.content[name] = content_digest(clip, limit=limit)
        except (ValueError, OSError) as error:
            run.put_aside(name, "frames", error)
    materials.frames = run.each(
        decode,
        "frames",
        lambda name: {"content": materials.content[name], "limit": limit, "clip": run.clips[name]},
    )
    run.require_clips(source)
    return materials


def add_flow(run: Run, materials: Materials, settings: Settings, gap: int) -> None:
    """Flow at ±gap, for every clip that has none yet."""
    folder = settings.flow.folder
    keyed = settings.flow.model_copy(update={"folder": None})

    def arguments(name: str) -> dict[str, Any]:
        names = run.clips[name].frame_names(run.summary(materials.frames[name])["frames"])
        return {
            "frames": materials.frames[name],
            "gap": gap,
            "settings": keyed,
            "flo": flow_content(Path(folder), effective_gap(len(names), gap), name, names)
            if folder
            else None,
            "folder": folder,
            "names": names,
        }

    materials.flow[gap] = run.each(estimate_flow, f"flow ±{gap}", arguments)


def add_features(run: Run, materials: Materials, settings: Settings, backbones: StartWeights) -> None:
    """Features for the corrector, and for the selector where the settings have one."""

    def extract(
        head: str, grid: tuple[int, int], backbone: BackboneSettings, weights: Artifact | None
    ) -> ByClip:
        keyed = backbone.model_copy(update={"checkpoint": None})
        given = {"weights": weights, "settings": keyed, "grid": grid}
        return run.each(
            extract_features,
            f"{head} features",
            lambda name: {"frames": materials.frames[name], **given},
        )

    chosen = settings.features
    if settings.selection.method in NETWORK_METHODS:
        materials.selector_tokens = extract(
            "selector", SELECTOR_GRID, chosen.selector, backbones.selector_features
        )
    materials.corrector_tokens = extract(
        "corrector", CORRECTOR_GRID, chosen.corrector, backbones.corrector_features
    )
