"""The command `plan`, and `--plan` of `adapt` and `segment`: the work and the costs of a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from motion_adapt.flows.cli.launch import err, errors, out, write_json
from motion_adapt.flows.cli.options import (
    DEFAULT_STORE,
    Clips,
    Config,
    Dataset,
    Device,
    End,
    Every,
    Exemplars,
    Fast,
    Fill,
    Fps,
    From,
    JsonFile,
    Preset,
    Prune,
    Sam,
    Sets,
    SideBySide,
    Source,
    Split,
    Start,
    Store,
    Threads,
    Weights,
    clips_at_once,
    is_from_champion,
    place_of,
    settings_of,
    text,
    with_sam,
    with_short,
)
from motion_adapt.flows.run.console import say

if TYPE_CHECKING:
    from motion_adapt.flows.plan.plan import Plan

CLIPS_NAMED = 12  # clips that the table names; it sums up the others
PlanOnly = Annotated[bool, typer.Option("--plan", help="only tell what would be computed and what it costs")]


def plan(
    source: Source,
    for_: Annotated[str, typer.Option("--for", help="the command to plan: adapt or segment")] = "adapt",
    preset: Preset = "compact",
    set_: Sets = None,
    config: Config = None,
    rounds: Annotated[int, typer.Option(min=0, help="number of adaptation rounds after round 0")] = 1,
    clips: Clips = None,
    split: Split = None,
    exemplars: Exemplars = None,
    every: Every = None,
    fps: Fps = None,
    fill: Fill = False,
    start: Start = None,
    end: End = None,
    weights: Weights = None,
    from_: From = "preset",
    sam: Sam = None,
    prune: Prune = None,
    fast: Fast = False,
    dataset: Dataset = None,
    store: Store = DEFAULT_STORE,
    device: Device = "auto",
    threads: Threads = None,
    workers: SideBySide = None,
    json_file: JsonFile = None,
) -> None:
    """Tell what a run would compute, and its seconds, disk and memory. Computes nothing."""
    if for_ not in ("adapt", "segment"):
        raise typer.BadParameter("wanted adapt or segment", param_hint="--for")
    if fast and for_ != "segment":
        raise typer.BadParameter("only segment has it: add --for segment", param_hint="--fast")
    set_ = with_short(with_sam(set_, sam), exemplars, fill, fast, every=every, fps=fps, start=start, end=end)
    show_plan(
        for_,
        source,
        set_,
        config,
        json_file,
        store=store,
        device=device,
        threads=threads,
        from_champion=is_from_champion(from_, weights),
        preset=preset,
        rounds=rounds,
        clips=clips or None,
        split=split,
        prune=prune,
        dataset=dataset,
        weights=text(weights),
        workers=workers,
    )


def show_plan(
    command: str,
    source: Path,
    set_: list[str] | None,
    config: Path | None,
    json_file: Path | None,
    *,
    store: str,
    device: str,
    threads: int | None,
    from_champion: bool = False,
    **options: Any,
) -> None:
    """Make and print a plan; `options` are those of `flows.plan.plan.make_plan`."""
    with errors(verbose=False, store=store):
        from motion_adapt.flows.plan.plan import make_plan
        from motion_adapt.flows.run.console import silence

        settings = settings_of(options["preset"], config, set_, source=source, dataset=options["dataset"])
        if command == "segment":
            among = {name: options[name] for name in ("clips", "split", "prune", "dataset")}
            options["workers"] = clips_at_once(options["workers"], device, "threads", source, **among)
        options["workers"] = options["workers"] or 1
        place = place_of(store, device, threads, options["workers"])
        with silence():
            made = make_plan(command, str(source), settings, place, from_champion=from_champion, **options)
        if from_champion:
            made.warnings.append(
                "planned with the preset's weights: results of the champion's are not looked up"
            )
        print_plan(made)
        if json_file:
            write_json(json_file, made.json())
    if not made.clips or not (made.complete or from_champion):  # a champion has weights of its own
        raise typer.Exit(1)


def print_plan(plan: "Plan") -> None:
    """Print a plan as tables."""
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    clips = Table(title=escape(f"{plan.command} {plan.source} on {plan.device}"), title_justify="left")
    for column, side in (("clip", "left"), ("frames", "right"), ("size", "right"), ("MB", "right")):
        clips.add_column(column, justify=side)  # type: ignore[arg-type]
    sizes = list(plan.clips.items())
    for name, size in sizes[:CLIPS_NAMED]:
        clips.add_row(Text(name), str(size.frames), f"{size.width}x{size.height}", f"{size.bytes / 1e6:.1f}")
    rest = [size for _, size in sizes[CLIPS_NAMED:]]
    if rest:
        frames, total = sum(size.frames for size in rest), sum(size.bytes for size in rest)
        clips.add_row(f"and {len(rest)} more", str(frames), "", f"{total / 1e6:.1f}")
    out.print(clips)
    table = Table(title="stages", title_justify="left")
    table.add_column("stage")
    for column in ("stored", "to compute", "seconds", "MB"):
        table.add_column(column, justify="right")
    table.add_column("figures from")
    for name, stage in plan.stages.items():
        costs = (f"{stage.seconds:.0f}", f"{stage.bytes / 1e6:.1f}") if stage.missing else ("", "")
        table.add_row(name, str(stage.stored), str(stage.missing), *costs, ", ".join(sorted(stage.sources)))
    out.print(table)
    minutes = f"{plan.seconds:.0f} s" if plan.seconds < 120 else f"{plan.seconds / 60:.0f} min"
    free = f", {plan.free / 1e9:.1f} GB free" if plan.free is not None else ""
    say(
        out,
        "about" if plan.complete else "incomplete: at least",
        f"{minutes}, {plan.disk / 1e6:.0f} MB in the store{free}, {plan.memory / 1e9:.1f} GB of memory",
    )
    for name, why in plan.set_aside.items():
        say(err, "set aside", f"{name}: {why}", "yellow")
    for warning in plan.warnings:
        say(err, "warning", warning, "yellow")
