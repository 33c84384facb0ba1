"""Commands about data sets: `synthesise` generates one, `verify` checks one, `export` and `evaluate` use masks."""

import os
from pathlib import Path
from typing import Annotated

import typer

from motion_adapt.flows.cli.launch import errors, out, running, write_json
from motion_adapt.flows.cli.options import (
    Clips,
    Config,
    DaskAddress,
    Dataset,
    JsonFile,
    Photos,
    Preset,
    Runner,
    Sets,
    Silhouettes,
    Split,
    Strict,
    Threads,
    Verbose,
    Workers,
    settings_of,
    text,
    with_runner,
)
from motion_adapt.flows.run.console import say
from motion_adapt.storage.names import count_of


def synthesise(
    folder: Annotated[Path, typer.Argument(help="folder for the data set, in DAVIS layout")],
    clips: Annotated[int, typer.Option(min=1, help="number of clips; the paper's training set has 4608")],
    frames: Annotated[int, typer.Option(min=2, help="frames per clip")] = 30,
    size: Annotated[tuple[int, int], typer.Option(min=16, help="height and width in pixels")] = (256, 448),
    gaps: Annotated[
        str, typer.Option(help="frame distances of the exact flow to write, separated by commas; '' for none")
    ] = "1",
    photos: Photos = None,
    silhouettes: Silhouettes = None,
    seed: Annotated[int, typer.Option(min=0, help="seed that determines the clips")] = 0,
    threads: Threads = 1,
    runner: Runner = "threads",
    workers: Workers = 1,
    dask_address: DaskAddress = None,
    json_file: JsonFile = None,
    verbose: Verbose = False,
) -> None:
    """Write synthetic clips with visible and amodal masks and exact flow, as used in pre-training."""
    try:
        distances = tuple(int(gap) for gap in gaps.split(",") if gap.strip())
    except ValueError:
        raise typer.BadParameter(f"wanted numbers, got '{gaps}'", param_hint="--gaps") from None
    if not all(1 <= gap < frames for gap in distances):
        raise typer.BadParameter(f"wanted 1 to {frames - 1}, got {gaps}", param_hint="--gaps")
    with running("synthesise", verbose) as run:
        from motion_adapt.flows.synthesise import synthesise as flow
        from motion_adapt.tasks.synthesis import SyntheticSet

        what = SyntheticSet(
            seed=seed,
            frames=frames,
            size=size,
            gaps=distances,
            photos=text(photos),
            silhouettes=text(silhouettes),
        )
        report = run(
            with_runner(flow, runner, workers, dask_address),
            folder=str(folder),
            clips=clips,
            what=what,
            threads=threads or 1,
            json_file=json_file,
        )
        speed = report.final["frames_per_second"]
        say(out, "made:", f"{count_of(clips, 'clip')} of {frames} frames, {speed:.1f} frames/s")


def verify(
    folder: Annotated[Path, typer.Argument(help="a benchmark as downloaded, or your own clips")],
    dataset: Dataset = None,
    split: Split = None,
    preset: Preset = "compact",
    set_: Sets = None,
    config: Config = None,
    threads: Threads = None,
    json_file: JsonFile = None,
) -> None:
    """Check a data set before hours are spent on it. Exit 1 if there is any fault."""
    with errors(verbose=False):
        from motion_adapt.flows.run.presets import known_benchmark
        from motion_adapt.flows.upkeep.verify_data import findings_json, print_findings, verify_data

        settings = settings_of(preset, config, set_, source=folder, dataset=dataset)
        known = known_benchmark(folder, dataset)
        say(out, "taken as", f"{known.name} {split or known.split}" if known else "your own clips")
        findings = verify_data(
            folder,
            dataset=dataset,
            split=split,
            gaps=settings.gaps,
            background=settings.mask_background,
            workers=threads or os.cpu_count() or 1,
        )
        print_findings(out, findings, folder)
        if json_file:
            write_json(json_file, findings_json(findings, folder, known.name if known else ""))
    raise typer.Exit(1 if any(item.fault for item in findings) else 0)


def export(
    masks: Annotated[Path, typer.Argument(help="folder with one folder of indexed PNGs per clip")],
    out_: Annotated[Path, typer.Option("--out", help="folder of the submission, or the JSON file")],
    dataset: Dataset = None,
    source: Annotated[
        Path | None, typer.Option(help="the data set; masks must then have its frames' names and sizes")
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="submission (the benchmark's layout) or coco (one JSON with RLE)")
    ] = "submission",
) -> None:
    """Write masks in the layout that a benchmark's evaluator expects, or as COCO JSON."""
    if format_ not in ("submission", "coco"):
        raise typer.BadParameter("wanted 'submission' or 'coco'", param_hint="--format")
    with errors(verbose=False):
        from motion_adapt.flows.run.errors import RunError
        from motion_adapt.flows.run.presets import known_benchmark
        from motion_adapt.storage.formats.masks import masks_folder
        from motion_adapt.storage.results.submissions import write_coco, write_submission

        known = known_benchmark(source or masks_folder(masks), dataset)
        if format_ == "submission" and known is None:
            raise typer.BadParameter("a submission needs --dataset", param_hint="--dataset")
        try:
            if known is not None and format_ == "submission":
                made = write_submission(masks, out_, known, source=source)
            else:
                made = write_coco(masks, out_, source=source, dataset=dataset)
        except ValueError as error:
            raise RunError(str(error)) from error
        for note in made.notes:
            say(out, "warning", note, "yellow")
        if made.missing:
            text = f"no masks of {count_of(len(made.missing), 'clip')} of {known.name if known else ''}: "
            say(out, "incomplete:", text + ", ".join(made.missing), "yellow")
        say(out, "written to", f"{made.place} ({count_of(len(made.clips), 'clip')})")


def evaluate(
    predictions: Annotated[
        Path, typer.Argument(help="folder with one folder of masks per clip, or the results of a run")
    ],
    annotations: Annotated[Path, typer.Argument(help="annotations in the same layout")],
    protocol: Annotated[
        str | None,
        typer.Option(
            help="single (DAVIS 2016), objects (DAVIS 2017 unsupervised) or boxes (MoCA); default: the data set's"
        ),
    ] = None,
    clips: Clips = None,
    against_paper: Annotated[
        bool, typer.Option("--against-paper", help="also print the paper's published figures")
    ] = False,
    data_set: Annotated[
        str | None,
        typer.Option("--dataset", help="the benchmark of the annotations, whose rules are followed"),
    ] = None,
    background: Annotated[
        str, typer.Option(help="of masks in colours: black, or border: what is most frequent there")
    ] = "black",
    json_file: JsonFile = None,
    strict: Strict = False,
    verbose: Verbose = False,
) -> None:
    """Score masks against annotations, with J and F."""
    if protocol not in (None, "single", "objects", "boxes"):
        raise typer.BadParameter("wanted 'single', 'objects' or 'boxes'", param_hint="--protocol")
    if background not in ("black", "border"):
        raise typer.BadParameter("wanted 'black' or 'border'", param_hint="--background")
    with running("evaluate", verbose) as run:
        from motion_adapt.flows.evaluate import evaluate as flow
        from motion_adapt.flows.reports.against_paper import print_against_paper
        from motion_adapt.flows.run.presets import known_benchmark

        known = known_benchmark(annotations, data_set)
        protocol = protocol or (known.protocol if known else "single")
        report = run(
            flow,
            predictions=str(predictions),
            annotations=str(annotations),
            protocol=protocol,
            clips=clips or None,
            data_set=data_set,
            background=background,
            json_file=json_file,
            strict=strict,
        )
        if against_paper and not report.final:
            say(out, "paper:", "there is no mean to compare", "yellow")
        elif against_paper:
            name = known.name if known else None
            print_against_paper(out, report.final, protocol, name, len(report.clips))
