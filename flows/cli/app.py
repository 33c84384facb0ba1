"""The command line: each command resolves its settings, runs one flow, and prints its report.

Exit status: 0 if at least one clip succeeded; 1 if none did, a clip was set aside under --strict, or the run could not
continue; 2 for wrong usage; 130 if stopped by Ctrl-C.
"""

from importlib.metadata import version
from typing import Annotated

import typer

from motion_adapt.flows.cli.data_commands import evaluate, export, synthesise, verify
from motion_adapt.flows.cli.ending import hide_cancellations
from motion_adapt.flows.cli.experiment_commands import report, rounds
from motion_adapt.flows.cli.launch import errors, out
from motion_adapt.flows.cli.options import (
    DEFAULT_STORE,
    Config,
    Device,
    Preset,
    Sam,
    Sets,
    Store,
    Weights,
    place_of,
    settings_of,
    with_sam,
)
from motion_adapt.flows.cli.plan_command import plan
from motion_adapt.flows.cli.prefect_settings import require_prefect
from motion_adapt.flows.cli.review_command import review
from motion_adapt.flows.cli.run_commands import adapt, demo, materialise, refine, segment
from motion_adapt.flows.cli.serve_command import serve
from motion_adapt.flows.cli.store_commands import store_app
from motion_adapt.flows.cli.weights_commands import finetune_upsampler, import_checkpoint, pretrain

app = typer.Typer(
    name="motion-adapt",
    help="Segment the moving objects of unlabelled videos, and adapt the models to those very videos.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def tell_version(asked: bool) -> None:
    """Print the installed version and exit."""
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
    """Options common to all commands."""


def doctor(
    preset: Preset = "compact",
    set_: Sets = None,
    config: Config = None,
    weights: Weights = None,
    sam: Sam = None,
    store: Store = DEFAULT_STORE,
    device: Device = "auto",
) -> None:
    """Report what is installed and which weights and device would be used, and suggest fixes. Exit 1 if not ready."""
    with errors(verbose=False, store=store):
        require_prefect()
        from motion_adapt.flows.upkeep.doctor import examine

        healthy = examine(
            out,
            preset,
            settings_of(preset, config, with_sam(set_, sam)),
            weights,
            place_of(store, device, None),
        )
    raise typer.Exit(0 if healthy else 1)


for command in (
    adapt,
    segment,
    plan,
    refine,
    materialise,
    pretrain,
    evaluate,
    demo,
    rounds,
    report,
    review,
    doctor,
    serve,
    synthesise,
    verify,
    export,
):
    app.command()(command)
app.command("import-checkpoint")(import_checkpoint)
app.command("finetune-upsampler")(finetune_upsampler)
app.add_typer(store_app, name="store")


def main() -> None:
    """Run the console command."""
    hide_cancellations()
    app()
