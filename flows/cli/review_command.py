"""The command `review`: the frames of a run that deserve a look, and how to mend them."""

from pathlib import Path
from typing import Annotated

import typer

from motion_adapt.flows.cli.launch import errors, out, write_json
from motion_adapt.flows.cli.options import JsonFile
from motion_adapt.flows.run.console import say


def review(
    results: Annotated[
        Path,
        typer.Argument(help="a run's folder of results, or the name of its source in motion-adapt/results"),
    ],
    json_file: JsonFile = None,
) -> None:
    """List the most doubtful frames of a run: which, why, and which mask to paint."""
    with errors(verbose=False):
        from dataclasses import asdict

        from motion_adapt.flows.reports.review import print_review, read_review

        folder, found = read_review(results)
        print_review(out, folder, found)
        if json_file:
            write_json(json_file, [asdict(item) for item in found])
            say(out, "written to", str(json_file))
