"""Shared command-line options, and their conversion to flow parameters."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from prefect import Flow

    from motion_adapt.flows.run.tracking import Tracking
    from motion_adapt.tasks.runtime.place import Place
    from motion_adapt.tasks.settings import Settings

Source = Annotated[
    Path, typer.Argument(help="a video, a folder of frames, a folder of either, or a data set folder")
]
Preset = Annotated[str, typer.Option(help="compact (two CPU cores) or paper (a GPU)")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="override a setting, e.g. flow.updates=12"),
]
Config = Annotated[Path | None, typer.Option(help="a TOML file with settings")]
Clips = Annotated[
    list[str] | None, typer.Option(help="only these clips, separated by commas; may be repeated")
]
Split = Annotated[str | None, typer.Option(help="use the clips of this list of ImageSets, e.g. 2016/val")]
Every = Annotated[int | None, typer.Option(min=1, help="use every N-th frame of each clip")]
Fps = Annotated[float | None, typer.Option(help="use about so many frames per second of each video")]
Fill = Annotated[
    bool, typer.Option("--fill", help="give the frames that --every or --fps leave out masks too, by flow")
]
Start = Annotated[int | None, typer.Option(min=0, help="first frame of each clip to use, counted from 0")]
End = Annotated[int | None, typer.Option(min=2, help="frame before which each clip ends")]
Exemplars = Annotated[
    Path | None,
    typer.Option(help="masks by hand for a few frames, <clip>/<frame>.png; results are then not label-free"),
]
Weights = Annotated[Path | None, typer.Option(help="folder with oclr, selector and corrector .safetensors")]
From = Annotated[str, typer.Option("--from", help="start weights: 'preset', or the experiment's 'champion'")]
Fast = Annotated[bool, typer.Option("--fast", help="without a network of each clip's own")]
Dataset = Annotated[
    str | None,
    typer.Option(
        help="which benchmark the source is, e.g. DAVIS2016, or none; default: recognised by its clips' names"
    ),
]
Prune = Annotated[
    int | None,
    typer.Option(min=1, help="smoke run on this many clips of 8 frames; separate results, no champion"),
]
Photos = Annotated[
    Path | None, typer.Option(help="a folder of photos for textures; default: procedural textures")
]
Silhouettes = Annotated[
    Path | None, typer.Option(help="a folder of mask pictures for half of the shapes; default: drawn shapes")
]
Sam = Annotated[
    str | None,
    typer.Option(
        "--sam",
        metavar="NAME_OR_FOLDER",
        help="refine the final masks by this model, SAM, HQ-SAM or SAM 2; sets sam.model",
    ),
]
Store = Annotated[str, typer.Option(help="artifact store: a folder or any fsspec URL")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...; auto takes a GPU if there is one")]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="threads per computation; default: a worker's share of the cores"),
]
Runner = Annotated[
    str, typer.Option(help="threads: in this process; dask: in processes of a local Dask cluster")
]
DaskAddress = Annotated[
    str | None, typer.Option(help="with --runner dask: scheduler of a running cluster, tcp://HOST:PORT")
]
Workers = Annotated[int, typer.Option(min=1, help="clips processed at once, each with --threads threads")]
SideBySide = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="clips processed at once, each with --threads threads; default: on a CPU, as many as there are cores, "
        "clips and 2 GB of free memory; on a GPU or a cluster 1",
    ),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="folder for masks and pictures")]


def into_a_folder(file: Path | None) -> Path | None:
    """Return a file to write, if its folder exists: a mistyped one is told before any work."""
    if file and not file.resolve().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {file.resolve().parent}")
    return file


JsonFile = Annotated[
    Path | None,
    typer.Option("--json", callback=into_a_folder, help="write all numbers of the run to this file"),
]
Strict = Annotated[bool, typer.Option("--strict", help="exit 1 if any clip was set aside")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="show Prefect's log, and the traceback of an error")
]
TrackingUri = Annotated[str, typer.Option(help="MLflow tracking URI")]
Experiment = Annotated[
    str,
    typer.Option(help="MLflow experiment; default: the source's name, or <source>-pruned with adapt --prune"),
]

WORKER_MEMORY = 2 * 10**9  # bytes of free memory for each clip that is processed at once
DEFAULT_STORE = "motion-adapt/store"
DEFAULT_TRACKING = "sqlite:///motion-adapt/mlflow.db"


def with_runner(
    flow: "Flow[..., Any]", kind: str, workers: int, dask_address: str | None = None
) -> "Flow[..., Any]":
    """Return the flow with its tasks in threads, on a local Dask cluster, or on the cluster at an address."""
    from motion_adapt.flows.run.runners import task_runner

    try:
        return flow.with_options(task_runner=task_runner(kind, workers, dask_address))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--runner") from error


def clips_at_once(
    asked: int | None,
    device: str,
    runner: str,
    source: Path,
    *,
    clips: Any = None,
    split: Any = None,
    prune: Any = None,
    dataset: Any = None,
) -> int:
    """Return how many clips a run without trainings processes at once: `asked`, or what suits this machine.

    Networks as small as the compact ones hardly gain from a second thread, so two clips with one thread each are faster
    than one after the other with two. A GPU, a Dask cluster and a source that cannot be read get 1.
    """
    if asked:
        return asked
    import psutil

    from motion_adapt.storage.clips.find_clips import find_clips
    from motion_adapt.tasks.runtime.place import place_for

    try:
        if runner != "threads" or place_for("", device, 1).device != "cpu":
            return 1
        found = len(find_clips(source, only=clips or (), split=split, dataset=dataset).clips)
    except (ValueError, OSError):
        return 1  # the run says what is wrong
    room = psutil.virtual_memory().available // WORKER_MEMORY
    return max(1, min(os.cpu_count() or 1, prune or found, found, room))


def settings_of(
    preset: str,
    config: Path | None,
    overrides: list[str] | None,
    *,
    source: Path | None = None,
    dataset: str | None = None,
) -> "Settings":
    """Load the settings from all places; if `source` is a benchmark, its gaps and protocol are the defaults."""
    from motion_adapt.flows.run.presets import known_benchmark, load_settings

    known = known_benchmark(source, dataset) if source else None
    return load_settings(preset, config=config, overrides=overrides or (), data_set=known)


def with_sam(overrides: list[str] | None, sam: str | None) -> list[str] | None:
    """Return the values of --set with that of --sam, which sets sam.model."""
    return [*(overrides or ()), f"sam.model={json.dumps(sam)}"] if sam else overrides


def with_short(
    overrides: list[str] | None,
    exemplars: Path | None = None,
    fill: bool = False,
    fast: bool = False,
    **frames: float | None,
) -> list[str]:
    """Return the overrides with the options that are short for settings: --exemplars, --fill, --fast and `frames`."""
    given = [f"selection.given={json.dumps(str(exemplars))}"] if exemplars else []
    given += ["clip_network.enabled=false"] if fast else []
    given += ["export.fill=true"] if fill else []
    given += [f"frames.{name}={value}" for name, value in frames.items() if value is not None]
    return [*(overrides or ()), *given]


def place_of(
    store: str,
    device: str,
    threads: int | None,
    workers: int | None = None,
    dask_address: str | None = None,
) -> "Place":
    """Return the place of a run, as `place_for` does; a wrong device is wrong usage."""
    from motion_adapt.tasks.runtime.place import place_for

    try:
        return place_for(store, device, threads, workers, elsewhere=bool(dask_address))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--device") from None


def tracking_of(uri: str, experiment: str) -> "Tracking":
    """Return where the run is tracked."""
    from motion_adapt.flows.run.tracking import Tracking

    return Tracking(uri=uri, experiment=experiment)


def is_from_champion(from_: str, weights: Path | None) -> bool:
    """Return whether --from asks for the champion, which excludes --weights."""
    if from_ not in ("preset", "champion"):
        raise typer.BadParameter("wanted 'preset' or 'champion'", param_hint="--from")
    if from_ == "champion" and weights:
        raise typer.BadParameter("--weights and --from champion exclude each other", param_hint="--from")
    return from_ == "champion"


def text(path: Path | None) -> str | None:
    """Convert a path to text, as flow parameters need it."""
    return str(path) if path else None
