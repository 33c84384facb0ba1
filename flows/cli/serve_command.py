"""The command `motion-adapt serve`."""

from typing import Annotated

import typer

from motion_adapt.flows.cli.launch import errors
from motion_adapt.flows.cli.prefect_settings import require_prefect


def serve(
    cron: Annotated[
        str | None,
        typer.Option(help="when adapt/nightly runs, e.g. '0 3 * * *' (UTC); default: only on request"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="maximum number of runs at once")] = 1,
) -> None:
    """Serve the deployments of prefect.yaml from this process, without a work pool. Needs a Prefect server."""
    with errors(verbose=False):
        require_prefect()
        from motion_adapt.flows.upkeep.serve import serve_all

        serve_all(cron, limit)
