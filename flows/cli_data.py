"""The commands about data sets: `verify` before a run, `export` after it."""

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.launch import errors, out, write_json
from flows.lines import say
from flows.options import Config, Dataset, JsonFile, Preset, Sets, Split, Threads, settings_of


def verify(
    folder: Annotated[Path, typer.Argument(help="a benchmark as it was downloaded, or clips of one's own")],
    dataset: Dataset = None,
    split: Split = None,
    preset: Preset = "compact",
    set_: Sets = None,
    config: Config = None,
    threads: Threads = None,
    json_file: JsonFile = None,
) -> None:
    """Check a data set before hours are spent on it. Exit 1 if anything is at fault."""
    with errors(verbose=False):
        from flows.presets import known_benchmark
        from flows.verify import findings_json, print_findings, verify_data

        settings = settings_of(preset, config, set_, source=folder, dataset=dataset)
        known = known_benchmark(folder, dataset)
        say(out, "taken as", f"{known.name} {split or known.split}" if known else "clips of one's own")
        findings = verify_data(
            folder,
            dataset=dataset,
            split=split,
            gap=settings.gaps.inference,
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
        Path | None, typer.Option(help="the data set: masks must then have its frames' names and sizes")
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="submission (the benchmark's layout) or coco (one JSON with RLE)")
    ] = "submission",
) -> None:
    """Write masks as a benchmark's evaluator reads them, or as COCO JSON."""
    if format_ not in ("submission", "coco"):
        raise typer.BadParameter("wanted 'submission' or 'coco'", param_hint="--format")
    with errors(verbose=False):
        from flows.presets import known_benchmark
        from flows.run import RunError
        from storage.submissions import write_coco, write_submission

        known = known_benchmark(source or masks, dataset)
        if format_ == "submission" and known is None:
            raise typer.BadParameter("a submission wants --dataset", param_hint="--dataset")
        try:
            if known is not None and format_ == "submission":
                made = write_submission(masks, out_, known, source=source)
            else:
                made = write_coco(masks, out_, source=source, dataset=dataset)
        except ValueError as error:
            raise RunError(str(error)) from error
        if made.missing:
            text = f"{len(made.missing)} clips of {known.name if known else ''} have no masks: "
            say(out, "incomplete:", text + ", ".join(made.missing), "yellow")
        say(out, "written to", f"{made.place} ({len(made.clips)} clips)")
