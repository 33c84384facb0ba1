"""The commands of `motion-adapt store`."""

from typing import Annotated

import typer

from motion_adapt.flows.cli.launch import errors, out
from motion_adapt.flows.cli.options import DEFAULT_STORE, DEFAULT_TRACKING, Store, TrackingUri
from motion_adapt.flows.cli.prefect_settings import require_prefect

store_app = typer.Typer(help="List, verify, explain and prune the artifact store.", no_args_is_help=True)


@store_app.command("list")
def store_list(
    store: Store = DEFAULT_STORE, stage: Annotated[str, typer.Option(help="only this stage")] = "*"
) -> None:
    """List the published artifacts."""
    with errors(verbose=False):
        require_prefect()
        from motion_adapt.flows.upkeep.store import list_artifacts

        list_artifacts(out, store, stage)


@store_app.command("verify")
def store_verify(
    store: Store = DEFAULT_STORE,
    stage: Annotated[str, typer.Option(help="only this stage")] = "*",
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="unpublish damaged artifacts, so that they are recomputed")
    ] = False,
) -> None:
    """Read every byte and report what is damaged. Exit 1 if anything is."""
    with errors(verbose=False):
        require_prefect()
        from motion_adapt.flows.upkeep.store import verify_artifacts

        damaged = verify_artifacts(out, store, stage, withdraw=withdraw)
    raise typer.Exit(1 if damaged else 0)


@store_app.command("explain")
def store_explain(
    artifact: Annotated[str, typer.Argument(help="stage/key, or an unambiguous prefix of a key")],
    store: Store = DEFAULT_STORE,
) -> None:
    """Print the chain from an artifact back to its frames and weights."""
    with errors(verbose=False):
        require_prefect()
        from motion_adapt.flows.upkeep.store import explain_artifact

        explain_artifact(out, store, artifact)


@store_app.command("prune")
def store_prune(
    store: Store = DEFAULT_STORE,
    unused: Annotated[
        bool, typer.Option("--unused", help="also delete artifacts that no kept run and no champion needs")
    ] = False,
    keep_runs: Annotated[
        int, typer.Option(min=1, help="with --unused: number of latest runs whose artifacts are kept")
    ] = 10,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
    older_than: Annotated[
        float,
        typer.Option(
            min=0, help="keep everything younger than this many hours, which a resumed run may need"
        ),
    ] = 24.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only report what would be deleted")] = False,
) -> None:
    """Delete leftovers of killed attempts and, with --unused, artifacts that are no longer needed."""
    with errors(verbose=False):
        require_prefect()
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
