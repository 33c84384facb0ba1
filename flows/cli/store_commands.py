"""The commands of `motion-adapt store`."""

from typing import Annotated

import typer

from motion_adapt.flows.cli.launch import errors, out
from motion_adapt.flows.cli.options import DEFAULT_STORE, DEFAULT_TRACKING, Store, TrackingUri

store_app = typer.Typer(help="Look after the artifact store.", no_args_is_help=True)


@store_app.command("list")
def store_list(
    store: Store = DEFAULT_STORE, stage: Annotated[str, typer.Option(help="only this stage")] = "*"
) -> None:
    """List the published artifacts."""
    with errors(verbose=False):
        from motion_adapt.flows.upkeep.store import list_artifacts

        list_artifacts(out, store, stage)


@store_app.command("verify")
def store_verify(
    store: Store = DEFAULT_STORE,
    stage: Annotated[str, typer.Option(help="only this stage")] = "*",
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="unpublish what is damaged, so that it is recomputed")
    ] = False,
) -> None:
    """Read every byte and say what is damaged. Exit 1 if anything is."""
    with errors(verbose=False):
        from motion_adapt.flows.upkeep.store import verify_artifacts

        damaged = verify_artifacts(out, store, stage, withdraw=withdraw)
    raise typer.Exit(1 if damaged else 0)


@store_app.command("explain")
def store_explain(
    artifact: Annotated[str, typer.Argument(help="stage/key, or an unambiguous beginning of a key")],
    store: Store = DEFAULT_STORE,
) -> None:
    """Print the chain from an artifact back to its frames and weights."""
    with errors(verbose=False):
        from motion_adapt.flows.upkeep.store import explain_artifact

        explain_artifact(out, store, artifact)


@store_app.command("prune")
def store_prune(
    store: Store = DEFAULT_STORE,
    unused: Annotated[
        bool, typer.Option("--unused", help="also artifacts that no kept run and no champion needs")
    ] = False,
    keep_runs: Annotated[
        int, typer.Option(min=1, help="with --unused: how many of the latest runs to keep")
    ] = 10,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
    older_than: Annotated[
        float,
        typer.Option(min=0, help="hours for which all is kept, since a run that goes on may need it"),
    ] = 24.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say how much would go")] = False,
) -> None:
    """Delete what killed attempts left behind and, if asked, what no run needs any more."""
    with errors(verbose=False):
        from motion_adapt.flows.upkeep.store import prune_artifacts

        prune_artifacts(
            out,
            store,
            unused=unused,
            keep_runs=keep_runs,
            tracking_uri=tracking_uri,
            older_than=older_than * 3600,
            dry_run=dry_run,
        )
