"""Commands about experiments in MLflow: `rounds` compares rounds, `report` writes the page of one adaptation."""

import json
from pathlib import Path
from typing import Annotated

import typer

from motion_adapt.flows.cli.launch import errors, out, write_json
from motion_adapt.flows.cli.options import (
    DEFAULT_TRACKING,
    JsonFile,
    TrackingUri,
    tracking_of,
)
from motion_adapt.flows.run.console import say


def rounds(
    experiment: Annotated[
        str, typer.Argument(help="MLflow experiment, by default named after the adapted folder")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="folder for rounds.csv and clips.csv")
    ] = None,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
    json_file: JsonFile = None,
) -> None:
    """Compare the rounds of an experiment: mean metrics, and the clips of the latest adaptation, worst first."""
    with errors(verbose=False):
        from motion_adapt.flows.reports.compare import (
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


def report(
    experiment: Annotated[
        str, typer.Argument(help="MLflow experiment, by default named after the adapted folder")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="the HTML file to write")] = Path(
        "report.html"
    ),
    run: Annotated[
        str | None, typer.Option(help="MLflow run id of the adaptation; default: the experiment's latest")
    ] = None,
    strips: Annotated[
        int, typer.Option(min=0, help="number of stage strips to include, worst clips first")
    ] = 24,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
) -> None:
    """Write a self-contained HTML page about an adaptation: plots, rounds, clips with pictures, provenance."""
    with errors(verbose=False):
        from motion_adapt.flows.reports.page import write_page

        write_page(output, tracking_of(tracking_uri, experiment), run=run, strips=strips)
        say(out, "written to", str(output))
