"""Store maintenance: list, verify, explain, prune."""

import difflib
import fnmatch
import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from motion_adapt import tasks
from motion_adapt.flows.run.console import say
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.tracking import Tracking
from motion_adapt.models.training.state_file import StateFile
from motion_adapt.storage.artifact_places import local_database
from motion_adapt.storage.artifacts.manifest import Manifest
from motion_adapt.storage.artifacts.run_records import (
    RecordedRun,
    damaged_runs,
    latest,
    recorded_runs,
    unneeded,
)
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.names import count_of
from motion_adapt.storage.registry import champions
from motion_adapt.tasks.runtime.place import scratch_beside
from motion_adapt.tasks.runtime.prefect_records import damaged_records
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import Stage


def open_store(url: str) -> ArtifactStore:
    """Open an existing store.

    Raises:
        RunError: if there is none.
    """
    store = ArtifactStore(url)
    if not store.fs.exists(store.root):
        raise RunError(f"there is no store at {url}; name it with --store")
    return store


def require_stage(store: ArtifactStore, stage: str) -> None:
    """Check that a stage, which may be a pattern, is one of the store or of the code.

    Raises:
        RunError: if it is neither; names the nearest.
    """
    if stage == "*" or fnmatch.filter(store.names(), stage):
        return
    known = known_stages()
    if not fnmatch.filter(known, stage):
        near = difflib.get_close_matches(stage, known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(sorted(known))}"
        raise RunError(f"there is no stage '{stage}'; {hint}")


def known_stages() -> set[str]:
    """Return the names of the stages of the code."""
    names = [item.name for item in pkgutil.iter_modules(tasks.__path__) if not item.ispkg]
    modules = [importlib.import_module(f"{tasks.__name__}.{name}") for name in names]
    return {item.name for module in modules for item in vars(module).values() if isinstance(item, Stage)}


def list_artifacts(console: Console, url: str, stage: str) -> None:
    """Print one line per artifact, with its arrays, size, computing time and date.

    Raises:
        RunError: if there is no such stage.
    """
    store = open_store(url)
    require_stage(store, stage)
    table = Table()
    for column, side in (
        ("artifact", "left"),
        ("arrays", "left"),
        ("MB", "right"),
        ("seconds", "right"),
        ("made", "left"),
    ):
        table.add_column(column, justify=side, overflow="fold")  # type: ignore[arg-type]
    total = 0
    for manifest in store.manifests(stage):
        total += size(manifest)
        arrays = ", ".join(
            f"{name} {'x'.join(map(str, entry.shape))}" for name, entry in manifest.arrays.items()
        )
        table.add_row(
            str(manifest.artifact),
            arrays or ", ".join(manifest.payload),
            f"{size(manifest) / 1e6:.1f}",
            f"{manifest.made['seconds']:.1f}",
            manifest.made["at"],
        )
    console.print(table)
    console.print(f"{count_of(table.row_count, 'artifact')}, {total / 1e6:.1f} MB")


def verify_artifacts(console: Console, url: str, stage: str, *, withdraw: bool) -> int:
    """Read everything in the store. Prints the faults and returns their number; with `withdraw`, removes damaged items.

    Checks the artifacts, Prefect's records of them on this machine, the states of unfinished trainings next to a local
    store, and the records of runs. `withdraw` does not remove records of runs, because they cannot be recomputed.

    Raises:
        RunError: if there is no such stage.
    """
    store, faults = open_store(url), 0
    require_stage(store, stage)
    total = sum(1 for _ in store.manifests(stage))
    with track(total, "verify") as advance:
        for name, fault in store.verify(stage, progress=lambda _: advance(1), withdraw=withdraw):
            faults += 1
            say(console, "damaged", f"{name}: {fault}", "red")
    for path, fault in list(damaged_records(store, stage)):
        faults += 1
        say(console, "damaged", f"Prefect's record {path}: {fault}", "red")
        if withdraw:
            path.unlink(missing_ok=True)
    for path, fault in damaged_states(url):
        faults += 1
        say(console, "damaged", f"training state {path}: {fault}", "red")
        if withdraw:
            path.unlink(missing_ok=True)
    lost = list(damaged_runs(store))
    for record, fault in lost:
        say(console, "damaged", f"run record {record}: {fault}", "red")
    if faults:
        console.print(
            f"{count_of(faults, 'fault')}. "
            + ("Withdrawn: " if withdraw else "With --withdraw, what is damaged is unpublished: ")
            + "the next run that needs it recomputes it."
        )
    elif not lost:
        console.print(f"{count_of(total, 'artifact')}, every byte as published")
    return faults + len(lost)


def damaged_states(url: str) -> list[tuple[Path, str]]:
    """Return the damaged files among the states of unfinished trainings next to a local store."""
    folder = scratch_beside(url)
    states = {StateFile(file) for file in folder.rglob("*.pt")}
    states |= {StateFile(file.with_suffix("")) for file in folder.rglob("*.pt.previous")}
    return sorted(found for state in states for found in state.faults().items())


def explain_artifact(console: Console, url: str, text: str) -> None:
    """Print the chain from an artifact to its frames and weights, as a tree.

    Raises:
        RunError: if no artifact or more than one matches `text`.
    """
    store = open_store(url)
    try:
        artifact = store.resolve(text)
    except KeyError as error:
        raise RunError(str(error.args[0])) from error
    trees: list[Tree] = []
    shown: set[str] = set()
    for depth, name, manifest in store.explain(artifact):
        head = f"{name}: " if depth else ""
        label = head + (describe(manifest) if manifest else "gone from the store")
        if manifest and manifest.inputs:
            label += " [dim]as above[/]" if str(manifest.artifact) in shown else ""
            shown.add(str(manifest.artifact))
        if not depth:
            trees = [Tree(label)]
            continue
        del trees[depth:]
        trees.append(trees[-1].add(label))
    console.print(trees[0], highlight=False, soft_wrap=True)


def prune_artifacts(
    console: Console,
    url: str,
    *,
    unused: bool,
    keep_runs: int,
    tracking_uri: str,
    older_than: float,
    dry_run: bool,
) -> None:
    """Delete the litter of killed attempts and, with `unused`, artifacts that no kept run and no champion needs.

    Keeps what is needed by the last `keep_runs` runs that have ended, by as many that have not, and by the champions in
    MLflow, and everything younger than `older_than` seconds.

    Raises:
        RunError: if it is unknown what a run or a champion needs: a run's record is damaged, or MLflow's database is
            not there. Nothing is deleted then.
    """
    store, freed, count = open_store(url), 0, 0
    if unused:
        try:
            recorded = recorded_runs(store)
        except ValueError as error:
            raise RunError(f"nothing is deleted: {error}") from error
        tracking = Tracking(uri=tracking_uri)
        uri = tracking.reach(create=False)
        require_tracked(uri, recorded, named=tracking_uri != Tracking().uri)
        runs, reigning = latest(recorded, keep_runs), champions(uri)
        console.print(
            f"kept: everything that {count_of(len(runs), 'run')} and {count_of(len(reigning), 'champion')} of "
            f"{escape(tracking.shown)} need"
        )
        files = {file for checkpoints in reigning.values() for file in checkpoints.values()}
        for manifest in unneeded(store, runs=runs, files=files, older_than=older_than):
            freed, count = freed + size(manifest), count + 1
            say(console, "would delete" if dry_run else "deleted", str(manifest.artifact))
            if not dry_run:
                store.delete(manifest)
    for path, bytes_ in store.litter(older_than):
        freed, count = freed + bytes_, count + 1
        if not dry_run:
            store.remove_attempt(path)
    console.print(
        f"{count_of(count, 'item')}, {freed / 1e6:.1f} MB {'would be ' if dry_run else ''}freed in {escape(url)}"
    )


def require_tracked(uri: str, runs: Sequence[RecordedRun], *, named: bool) -> None:
    """Check that the champions can be known: the local database is there, or there cannot be any champion.

    Raises:
        RunError: if it was `named` and is not there, or if the store has an adaptation, whose rounds are somewhere.
    """
    database = local_database(uri)
    if database is None or database.is_file():
        return
    if named or any(run.command == "adapt" for run in runs):
        why = "" if named else ", and this store has adaptations, which may have a champion"
        raise RunError(
            f"nothing is deleted: there is no database {database}{why}; --tracking-uri names the MLflow that the "
            "runs were tracked in"
        )


def describe(manifest: Manifest) -> str:
    """Describe an artifact in one line: stage, key, version and settings."""
    settings = ", ".join(f"{name}={_short(value)}" for name, value in manifest.settings.items())
    return f"[bold]{manifest.stage}[/] {manifest.key[:12]} v{manifest.version} ({escape(settings)})"


def size(manifest: Manifest) -> int:
    """Return the size of an artifact in the store, in bytes."""
    return sum(entry.size for entry in manifest.files.values())


def _short(value: object) -> str:
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{name}={_short(item)}" for name, item in value.items() if item is not None)
            + "}"
        )
    words = str(value)
    return words if len(words) <= 24 else f"{words[:12]}..."
