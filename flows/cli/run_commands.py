"""Commands that run the stages: `adapt`, `segment`, `refine`, `materialise` and `demo`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from motion_adapt.flows.cli.launch import running
from motion_adapt.flows.cli.options import (
    DEFAULT_STORE,
    DEFAULT_TRACKING,
    Clips,
    Config,
    DaskAddress,
    Dataset,
    Device,
    End,
    Every,
    Exemplars,
    Experiment,
    Fast,
    Fill,
    Fps,
    From,
    JsonFile,
    Output,
    Preset,
    Prune,
    Runner,
    Sam,
    Sets,
    SideBySide,
    Source,
    Split,
    Start,
    Store,
    Strict,
    Threads,
    TrackingUri,
    Verbose,
    Weights,
    Workers,
    clips_at_once,
    is_from_champion,
    place_of,
    settings_of,
    text,
    tracking_of,
    with_runner,
    with_sam,
    with_short,
)
from motion_adapt.flows.cli.plan_command import PlanOnly, show_plan


def adapt(
    source: Source,
    preset: Preset = "compact",
    set_: Sets = None,
    config: Config = None,
    rounds: Annotated[int, typer.Option(min=0, help="number of adaptation rounds after round 0")] = 1,
    clips: Clips = None,
    split: Split = None,
    exemplars: Exemplars = None,
    every: Every = None,
    fps: Fps = None,
    fill: Fill = False,
    start: Start = None,
    end: End = None,
    weights: Weights = None,
    from_: From = "preset",
    sam: Sam = None,
    prune: Prune = None,
    dataset: Dataset = None,
    store: Store = DEFAULT_STORE,
    output: Output = None,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
    experiment: Experiment = "",
    device: Device = "auto",
    threads: Threads = None,
    runner: Runner = "threads",
    workers: Workers = 1,
    dask_address: DaskAddress = None,
    json_file: JsonFile = None,
    strict: Strict = False,
    plan: PlanOnly = False,
    verbose: Verbose = False,
) -> None:
    """Segment a folder of videos and adapt the models to it, round by round."""
    from_champion = is_from_champion(from_, weights)
    set_ = with_short(with_sam(set_, sam), exemplars, fill, every=every, fps=fps, start=start, end=end)
    if plan:
        show_plan(
            "adapt",
            source,
            set_,
            config,
            json_file,
            store=store,
            device=device,
            threads=threads,
            from_champion=from_champion,
            preset=preset,
            rounds=rounds,
            clips=clips or None,
            split=split,
            prune=prune,
            dataset=dataset,
            weights=text(weights),
            workers=workers,
        )
        return
    settings = partial(settings_of, preset, config, set_, source=source, dataset=dataset)
    with running("adapt", verbose, store, settings) as run:
        from motion_adapt.flows.adapt import adapt as flow

        run(
            with_runner(flow, runner, workers, dask_address),
            source=str(source),
            preset=preset,
            rounds=rounds,
            clips=clips or None,
            split=split,
            prune=prune,
            dataset=dataset,
            weights=text(weights),
            from_champion=from_champion,
            output=text(output),
            place=place_of(store, device, threads, workers, dask_address),
            tracking=tracking_of(tracking_uri, experiment),
            json_file=json_file,
            strict=strict,
        )


def segment(
    source: Source,
    preset: Preset = "compact",
    set_: Sets = None,
    config: Config = None,
    clips: Clips = None,
    split: Split = None,
    exemplars: Exemplars = None,
    every: Every = None,
    fps: Fps = None,
    fill: Fill = False,
    start: Start = None,
    end: End = None,
    weights: Weights = None,
    from_: From = "preset",
    sam: Sam = None,
    prune: Prune = None,
    fast: Fast = False,
    dataset: Dataset = None,
    store: Store = DEFAULT_STORE,
    output: Output = None,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
    experiment: Experiment = "",
    device: Device = "auto",
    threads: Threads = None,
    runner: Runner = "threads",
    workers: SideBySide = None,
    dask_address: DaskAddress = None,
    json_file: JsonFile = None,
    strict: Strict = False,
    plan: PlanOnly = False,
    verbose: Verbose = False,
) -> None:
    """Compute masks of a video or a folder with given, bundled or champion weights, which stay as they are."""
    from_champion = is_from_champion(from_, weights)
    set_ = with_short(with_sam(set_, sam), exemplars, fill, fast, every=every, fps=fps, start=start, end=end)
    if plan:
        show_plan(
            "segment",
            source,
            set_,
            config,
            json_file,
            store=store,
            device=device,
            threads=threads,
            from_champion=from_champion,
            preset=preset,
            clips=clips or None,
            split=split,
            prune=prune,
            dataset=dataset,
            weights=text(weights),
            workers=workers,
        )
        return
    settings = partial(settings_of, preset, config, set_, source=source, dataset=dataset)
    with running("segment", verbose, store, settings) as run:
        from motion_adapt.flows.segment import segment as flow

        among = {"clips": clips, "split": split, "prune": prune, "dataset": dataset}
        workers = clips_at_once(workers, device, "dask" if dask_address else runner, source, **among)
        run(
            with_runner(flow, runner, workers, dask_address),
            source=str(source),
            preset=preset,
            clips=clips or None,
            split=split,
            prune=prune,
            dataset=dataset,
            weights=text(weights),
            from_champion=from_champion,
            output=text(output),
            place=place_of(store, device, threads, workers, dask_address),
            tracking=tracking_of(tracking_uri, experiment),
            json_file=json_file,
            strict=strict,
        )


def refine(
    masks: Annotated[
        Path, typer.Argument(help="folder with one folder of masks per clip, or the results of a run")
    ],
    source: Source,
    sam: Sam = None,
    crf: Annotated[bool, typer.Option("--crf", help="refine by the dense CRF, before --sam")] = False,
    set_: Sets = None,
    config: Config = None,
    clips: Clips = None,
    split: Split = None,
    dataset: Dataset = None,
    store: Store = DEFAULT_STORE,
    output: Output = None,
    device: Device = "auto",
    threads: Threads = None,
    runner: Runner = "threads",
    workers: Workers = 1,
    dask_address: DaskAddress = None,
    json_file: JsonFile = None,
    strict: Strict = False,
    verbose: Verbose = False,
) -> None:
    """Sharpen ready-made masks of any model, by SAM or a dense CRF, at the frames' own size."""
    set_ = with_sam([*(set_ or ()), "crf.enabled=true"] if crf else set_, sam)
    settings = partial(settings_of, "compact", config, set_, source=source, dataset=dataset)
    with running("refine", verbose, store, settings) as run:
        from motion_adapt.flows.refine import refine as flow

        run(
            with_runner(flow, runner, workers, dask_address),
            masks=str(masks),
            source=str(source),
            clips=clips or None,
            split=split,
            dataset=dataset,
            output=text(output),
            place=place_of(store, device, threads, workers, dask_address),
            json_file=json_file,
            strict=strict,
        )


def materialise(
    source: Source,
    preset: Preset = "compact",
    set_: Sets = None,
    config: Config = None,
    clips: Clips = None,
    split: Split = None,
    every: Every = None,
    fps: Fps = None,
    start: Start = None,
    end: End = None,
    weights: Weights = None,
    prune: Prune = None,
    dataset: Dataset = None,
    store: Store = DEFAULT_STORE,
    device: Device = "auto",
    threads: Threads = None,
    runner: Runner = "threads",
    workers: SideBySide = None,
    dask_address: DaskAddress = None,
    json_file: JsonFile = None,
    strict: Strict = False,
    verbose: Verbose = False,
) -> None:
    """Compute frames, optical flow and features into the store, for later runs."""
    set_ = with_short(set_, every=every, fps=fps, start=start, end=end)
    settings = partial(settings_of, preset, config, set_, source=source, dataset=dataset)
    with running("materialise", verbose, store, settings) as run:
        from motion_adapt.flows.materialise import materialise as flow

        among = {"clips": clips, "split": split, "prune": prune, "dataset": dataset}
        workers = clips_at_once(workers, device, "dask" if dask_address else runner, source, **among)
        run(
            with_runner(flow, runner, workers, dask_address),
            source=str(source),
            clips=clips or None,
            split=split,
            prune=prune,
            dataset=dataset,
            weights=text(weights),
            place=place_of(store, device, threads, workers, dask_address),
            json_file=json_file,
            strict=strict,
        )


def demo(
    folder: Annotated[Path, typer.Argument(help="folder for the clips and the results")] = Path("demo"),
    threads: Threads = None,
    json_file: JsonFile = None,
    verbose: Verbose = False,
) -> None:
    """Try everything on generated clips: one short round of adaptation, with masks and pictures."""
    with running("demo", verbose, str(folder / "store")) as run:
        from motion_adapt.flows.demo import demo as flow

        run(
            flow,
            folder=str(folder),
            place=place_of(str(folder / "store"), "auto", threads),
            tracking=tracking_of(f"sqlite:///{folder}/mlflow.db", ""),
            json_file=json_file,
        )
