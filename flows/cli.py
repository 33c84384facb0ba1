"""The command line: each command resolves its settings, runs one flow, and prints what came of it.

Exit status: 0 if at least one clip went through, 1 if none did (or one was set aside under --strict) or the run could
not go on, 2 for wrong usage, 130 where Ctrl-C stopped it.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from flows.cli_data import export, synthesise, verify
from flows.cli_serve import serve
from flows.cli_store import store_app
from flows.cli_supervised import finetune_upsampler
from flows.launch import errors, out, running, write_json
from flows.lines import say
from flows.options import (
    DEFAULT_STORE,
    DEFAULT_TRACKING,
    Clips,
    Config,
    DaskAddress,
    Dataset,
    Device,
    Experiment,
    From,
    JsonFile,
    Output,
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
    is_from_champion,
    names,
    place_of,
    settings_of,
    text,
    tracking_of,
    with_runner,
)

app = typer.Typer(
    name="motion-adapt",
    help="Segment the moving objects of unlabelled videos, and adapt the models to those very videos.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def tell_version(asked: bool) -> None:
    """Print the installed version and end."""
    if asked:
        typer.echo(f"motion-adapt {version('motion-adapt')}")
        raise typer.Exit()


@app.callback()
def common(
    version_: Annotated[
        bool,
        typer.Option("--version", callback=tell_version, is_eager=True, help="print the version and exit"),
    ] = False,
) -> None:
    """What holds for every command."""


app.add_typer(store_app, name="store")
app.command("serve")(serve)
app.command("synthesise")(synthesise)
app.command("verify")(verify)
app.command("export")(export)
app.command("finetune-upsampler")(finetune_upsampler)


@app.command()
def adapt(
    source: Source,
    preset: Preset = "compact",
    set_: Sets = None,
    config: Config = None,
    rounds: Annotated[int, typer.Option(min=0, help="adaptation rounds after round 0")] = 1,
    clips: Clips = None,
    split: Split = None,
    weights: Weights = None,
    from_: From = "preset",
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
    verbose: Verbose = False,
) -> None:
    """Segment a folder of videos and adapt the models to it, round by round."""
    from_champion = is_from_champion(from_, weights)
    with running("adapt", verbose) as run:
        from flows.adapt import adapt as flow

        run(
            with_runner(flow, runner, workers, dask_address),
            source=str(source),
            settings=settings_of(preset, config, set_, source=source, dataset=dataset),
            preset=preset,
            rounds=rounds,
            clips=names(clips),
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


@app.command()
def segment(
    source: Source,
    preset: Preset = "compact",
    set_: Sets = None,
    config: Config = None,
    clips: Clips = None,
    split: Split = None,
    weights: Weights = None,
    from_: From = "preset",
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
    verbose: Verbose = False,
) -> None:
    """Masks of a video or a folder with given, shipped or champion weights. Nothing is trained."""
    from_champion = is_from_champion(from_, weights)
    with running("segment", verbose) as run:
        from flows.segment import segment as flow

        run(
            with_runner(flow, runner, workers, dask_address),
            source=str(source),
            settings=settings_of(preset, config, set_, source=source, dataset=dataset),
            preset=preset,
            clips=names(clips),
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


@app.command()
def materialise(
    source: Source,
    preset: Preset = "compact",
    set_: Sets = None,
    config: Config = None,
    clips: Clips = None,
    split: Split = None,
    weights: Weights = None,
    prune: Prune = None,
    dataset: Dataset = None,
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
    """Compute frames, optical flow and features into the store, for runs to come."""
    with running("materialise", verbose) as run:
        from flows.materialise import materialise as flow

        run(
            with_runner(flow, runner, workers, dask_address),
            source=str(source),
            settings=settings_of(preset, config, set_, source=source, dataset=dataset),
            clips=names(clips),
            split=split,
            prune=prune,
            dataset=dataset,
            weights=text(weights),
            place=place_of(store, device, threads, workers, dask_address),
            json_file=json_file,
            strict=strict,
        )


@app.command()
def pretrain(
    out_: Annotated[Path, typer.Option("--out", help="folder for the checkpoints")],
    preset: Preset = "compact",
    steps: Annotated[int | None, typer.Option(min=1, help="steps of each network")] = None,
    photos: Photos = None,
    silhouettes: Silhouettes = None,
    start: Annotated[
        Path | None,
        typer.Option(help="a folder with weights to go on from, by network; default: from scratch"),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            help="several, e.g. 0,1,2: a training for each, in OUT/seed-0 and so on, and their spread"
        ),
    ] = None,
    set_: Sets = None,
    config: Config = None,
    store: Store = DEFAULT_STORE,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
    experiment: Experiment = "pretraining",
    device: Device = "auto",
    threads: Threads = None,
    json_file: JsonFile = None,
    verbose: Verbose = False,
) -> None:
    """Train the networks on synthetic clips, from scratch or from earlier weights on."""
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
    with running("pretrain", verbose) as run:
        from flows.pretrain import pretrain as flow
        from flows.tables import print_spread

        reports = {}
        for folder, also in [(out_ / f"seed-{n}", [f"seed={n}"]) for n in chosen] or [(out_, [])]:
            reports[folder.name] = run(
                flow,
                folder=str(folder),
                settings=settings_of(preset, config, [*overrides, *also]),
                place=place_of(store, device, threads),
                tracking=tracking_of(tracking_uri, experiment),
                start=text(start),
                json_file=None if chosen else json_file,
            )
        print_spread(out, {name: report.final for name, report in reports.items()})
        if chosen and json_file:
            write_json(json_file, {name: report.json() for name, report in reports.items()})


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="folder with one folder of indexed PNGs per clip")],
    annotations: Annotated[Path, typer.Argument(help="annotations in the same layout")],
    protocol: Annotated[
        str | None,
        typer.Option(
            help="single (DAVIS 2016), objects (DAVIS 2017 unsupervised) or boxes (MoCA); default: the data set's"
        ),
    ] = None,
    clips: Clips = None,
    against_paper: Annotated[
        bool, typer.Option("--against-paper", help="print the paper's published figures beside them")
    ] = False,
    data_set: Annotated[
        str | None,
        typer.Option("--dataset", help="the benchmark that the annotations are; its rules are followed"),
    ] = None,
    json_file: JsonFile = None,
    strict: Strict = False,
    verbose: Verbose = False,
) -> None:
    """Score masks against annotations: J and F."""
    if protocol not in (None, "single", "objects", "boxes"):
        raise typer.BadParameter("wanted 'single', 'objects' or 'boxes'", param_hint="--protocol")
    with running("evaluate", verbose) as run:
        from flows.against_paper import print_against_paper
        from flows.evaluate import evaluate as flow
        from flows.presets import known_benchmark

        known = known_benchmark(annotations, data_set)
        protocol = protocol or (known.protocol if known else "single")
        report = run(
            flow,
            predictions=str(predictions),
            annotations=str(annotations),
            protocol=protocol,
            clips=names(clips),
            data_set=data_set,
            json_file=json_file,
            strict=strict,
        )
        if against_paper:
            name = known.name if known else None
            print_against_paper(out, report.final, protocol, name, len(report.clips))


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="folder for the clips and the results")] = Path("demo"),
    threads: Threads = None,
    json_file: JsonFile = None,
    verbose: Verbose = False,
) -> None:
    """Try everything on generated clips: one short round of adaptation, pictures."""
    with running("demo", verbose) as run:
        from flows.demo import demo as flow

        run(
            flow,
            folder=str(folder),
            place=place_of(str(folder / "store"), "auto", threads),
            tracking=tracking_of(f"sqlite:///{folder}/mlflow.db", ""),
            json_file=json_file,
        )


@app.command("import-checkpoint")
def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="an official .pth")],
    model: Annotated[str, typer.Option(help="oclr, selector or corrector")],
    out_: Annotated[Path, typer.Option("--out", help="folder for <model>.safetensors")] = Path("weights"),
) -> None:
    """Turn one of the authors' released checkpoints into the project's format."""
    if model not in ("oclr", "selector", "corrector"):
        raise typer.BadParameter("wanted oclr, selector or corrector", param_hint="--model")
    with errors(verbose=False):
        from flows.run import RunError
        from models.checkpoints import save_checkpoint
        from models.official import import_official

        try:
            checkpoint = import_official(file, model)
        except ValueError as error:
            raise RunError(str(error)) from error
        out_.mkdir(parents=True, exist_ok=True)
        save_checkpoint(out_ / f"{model}.safetensors", checkpoint)
        say(out, "written to", str(out_ / f"{model}.safetensors"))


@app.command()
def rounds(
    experiment: Annotated[
        str, typer.Argument(help="MLflow experiment: by default the name of the adapted folder")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="folder for rounds.csv and clips.csv")
    ] = None,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
    json_file: JsonFile = None,
) -> None:
    """Compare the rounds of an experiment: means, and the latest adaptation's clips, worst first."""
    with errors(verbose=False):
        from flows.compare import (
            compare_rounds,
            latest_clips,
            print_clips,
            print_comparison,
            write_comparison,
        )

        tracking = tracking_of(tracking_uri, experiment)
        table = compare_rounds(tracking)
        print_comparison(out, table)
        clips = latest_clips(tracking)
        if clips:
            print_clips(out, clips)
        if output:
            write_comparison(output, tracking, table)
            say(out, "written to", str(output))
        if json_file:
            write_json(json_file, json.loads(table.to_json(orient="records")))


@app.command()
def report(
    experiment: Annotated[
        str, typer.Argument(help="MLflow experiment: by default the name of the adapted folder")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="the HTML file to write")] = Path(
        "report.html"
    ),
    run: Annotated[
        str | None, typer.Option(help="MLflow run of the adaptation; default: the experiment's latest")
    ] = None,
    strips: Annotated[
        int, typer.Option(min=0, help="stage strips to include, those of the worst clips")
    ] = 24,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
) -> None:
    """Write one self-contained HTML page about an adaptation: plots, rounds, clips with pictures, provenance."""
    with errors(verbose=False):
        from flows.page import write_page

        write_page(output, tracking_of(tracking_uri, experiment), run=run, strips=strips)
        say(out, "written to", str(output))


@app.command()
def doctor(
    preset: Preset = "compact",
    set_: Sets = None,
    config: Config = None,
    weights: Weights = None,
    store: Store = DEFAULT_STORE,
    device: Device = "auto",
) -> None:
    """Say what is installed, which weights are reachable, which device is used, and what to do about the rest."""
    with errors(verbose=False):
        from flows.doctor import examine

        healthy = examine(
            out, preset, settings_of(preset, config, set_), weights, place_of(store, device, None)
        )
    raise typer.Exit(0 if healthy else 1)


def main() -> None:
    """Entry point of the console command."""
    app()
