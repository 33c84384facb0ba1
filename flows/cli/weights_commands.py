"""Commands that train or import weights: `pretrain`, `import-checkpoint` and `finetune-upsampler`."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from motion_adapt.flows.cli.launch import errors, out, running, write_json
from motion_adapt.flows.cli.options import (
    DEFAULT_STORE,
    DEFAULT_TRACKING,
    Clips,
    Config,
    DaskAddress,
    Dataset,
    Device,
    JsonFile,
    Photos,
    Preset,
    Prune,
    Runner,
    Sets,
    Silhouettes,
    Source,
    Split,
    Store,
    Strict,
    Threads,
    TrackingUri,
    Verbose,
    Weights,
    Workers,
    place_of,
    settings_of,
    text,
    tracking_of,
    with_runner,
)
from motion_adapt.flows.run.console import say


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
    settings = partial(settings_of, preset, config, set_, source=source, dataset=dataset)
    with running("finetune-upsampler", verbose, store, settings) as run:
        from motion_adapt.flows.finetune_upsampler import finetune_upsampler as flow

        run(
            with_runner(flow, runner, workers, dask_address),
            source=str(source),
            folder=str(out_),
            preset=preset,
            clips=clips or None,
            split=split,
            prune=prune,
            dataset=dataset,
            weights=text(weights),
            place=place_of(store, device, threads, workers, dask_address),
            json_file=json_file,
            strict=strict,
        )


def pretrain(
    out_: Annotated[Path, typer.Option("--out", help="folder for the checkpoints")],
    preset: Preset = "compact",
    steps: Annotated[int | None, typer.Option(min=1, help="training steps of each network")] = None,
    photos: Photos = None,
    silhouettes: Silhouettes = None,
    start: Annotated[
        Path | None,
        typer.Option(help="a folder with weights to continue from, by network; default: from scratch"),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="seed of all random numbers")] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            help="several seeds, e.g. 0,1,2: one training each, in OUT/seed-0 and so on, and their spread"
        ),
    ] = None,
    set_: Sets = None,
    config: Config = None,
    store: Store = DEFAULT_STORE,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
    experiment: Annotated[str, typer.Option(help="MLflow experiment")] = "pretraining",
    device: Device = "auto",
    threads: Threads = None,
    json_file: JsonFile = None,
    verbose: Verbose = False,
) -> None:
    """Train the networks on synthetic clips, from scratch or from earlier weights."""
    overrides = [*(set_ or [])]
    overrides += [f"pretrain.steps={steps}"] if steps is not None else []
    overrides += [f"pretrain.photos={json.dumps(str(photos))}"] if photos else []
    overrides += [f"pretrain.silhouettes={json.dumps(str(silhouettes))}"] if silhouettes else []
    overrides += [f"seed={seed}"] if seed is not None else []
    if seed is not None and seeds:
        raise typer.BadParameter("--seed and --seeds exclude each other", param_hint="--seeds")
    try:
        chosen = [int(number) for number in seeds.split(",")] if seeds else []
    except ValueError:
        raise typer.BadParameter(f"wanted numbers, got '{seeds}'", param_hint="--seeds") from None
    trainings = [(out_ / f"seed-{n}", [f"seed={n}"]) for n in chosen] or [(out_, [])]
    with running("pretrain", verbose, store, partial(settings_of, preset, config, overrides)) as run:
        # all of them first: a wrong seed must not end the command after hours of training with another
        settings = {folder: settings_of(preset, config, [*overrides, *also]) for folder, also in trainings}
        from motion_adapt.flows.pretrain import pretrain as flow
        from motion_adapt.flows.reports.tables import print_spread

        reports = {}
        for folder, own in settings.items():
            reports[folder.name] = run(
                flow,
                folder=str(folder),
                settings=own,
                place=place_of(store, device, threads),
                tracking=tracking_of(tracking_uri, experiment),
                start=text(start),
                json_file=None if chosen else json_file,
            )
        print_spread(out, {name: report.final for name, report in reports.items()})
        if chosen and json_file:
            write_json(json_file, {name: report.json() for name, report in reports.items()})


def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="an official .pth file")],
    model: Annotated[str, typer.Option(help="oclr, selector or corrector")],
    out_: Annotated[Path, typer.Option("--out", help="folder for <model>.safetensors")] = Path("weights"),
) -> None:
    """Convert one of the authors' released checkpoints to the project's format."""
    if model not in ("oclr", "selector", "corrector"):
        raise typer.BadParameter("wanted oclr, selector or corrector", param_hint="--model")
    with errors(verbose=False):
        from motion_adapt.flows.run.errors import RunError
        from motion_adapt.models.networks.checkpoints import save_checkpoint
        from motion_adapt.models.networks.official_checkpoints import import_official

        try:
            checkpoint = import_official(file, model)
        except ValueError as error:
            raise RunError(str(error)) from error
        out_.mkdir(parents=True, exist_ok=True)
        save_checkpoint(out_ / f"{model}.safetensors", checkpoint)
        say(out, "written to", str(out_ / f"{model}.safetensors"))
