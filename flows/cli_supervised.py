"""`motion-adapt finetune-upsampler`, the command that learns from human annotations."""

from pathlib import Path
from typing import Annotated

import typer

from flows.launch import running
from flows.options import (
    DEFAULT_STORE,
    Clips,
    Config,
    DaskAddress,
    Dataset,
    Device,
    JsonFile,
    Preset,
    Prune,
    Runner,
    Sets,
    Source,
    Split,
    Store,
    Strict,
    Threads,
    Verbose,
    Weights,
    Workers,
    names,
    place_of,
    settings_of,
    text,
    with_runner,
)


def finetune_upsampler(
    source: Source,
    out_: Annotated[Path, typer.Option("--out", help="folder for the checkpoints")],
    preset: Preset = "compact",
    set_: Sets = None,
    config: Config = None,
    clips: Clips = None,
    split: Split = None,
    dataset: Dataset = None,
    weights: Weights = None,
    prune: Prune = None,
    store: Store = DEFAULT_STORE,
    device: Device = "auto",
    threads: Threads = None,
    runner: Runner = "threads",
    workers: Workers = 1,
    dask_address: DaskAddress = None,
    json_file: JsonFile = None,
    strict: Strict = False,
    verbose: Verbose = False,
) -> None:
    """SUPERVISED: train the corrector's upsampler on human annotations, to see what labels would add (Table 16)."""
    with running("finetune-upsampler", verbose) as run:
        from flows.supervise import finetune_upsampler as flow

        run(
            with_runner(flow, runner, workers, dask_address),
            source=str(source),
            folder=str(out_),
            settings=settings_of(preset, config, set_, source=source, dataset=dataset),
            preset=preset,
            clips=names(clips),
            split=split,
            prune=prune,
            dataset=dataset,
            weights=text(weights),
            place=place_of(store, device, threads, workers, dask_address),
            json_file=json_file,
            strict=strict,
        )
