"""Measure the cost of orchestration: per task and runner, and for a run that finds everything in the store.

    python benchmarks/orchestration.py tasks [--tasks 100]
    python benchmarks/orchestration.py rerun [--clips 200]

`tasks` runs stages that publish a few bytes, called directly and through each runner. In the second pass, all are found
in the store. `rerun` adapts to generated clips with tiny, untrained networks, then runs the same command again; the
second run is the one measured. Everything uses a temporary folder and its own Prefect server. CPU time is that of the
flow's process, without Prefect's server and Dask's workers. On a busy machine it is more meaningful than wall time.
"""

import argparse
import logging
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from prefect import flow
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from motion_adapt.flows.adapt import adapt
from motion_adapt.flows.cli.environment import quiet
from motion_adapt.flows.run.runners import task_runner
from motion_adapt.flows.run.stage_execution import Call, Making
from motion_adapt.flows.run.tracking import Tracking
from motion_adapt.models.networks.checkpoints import Checkpoint, save_checkpoint, weights_of
from motion_adapt.models.networks.compact_features import CompactFeatures
from motion_adapt.models.networks.corrector import MaskCorrector
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.models.networks.selector import MaskSelector
from motion_adapt.models.pretraining.recipe import fresh_network
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import stage
from motion_adapt.tasks.settings import Settings

SIZE, FRAMES = (48, 80), 3
Seconds = tuple[float, float]  # wall time, CPU time


@stage("nothing", version=1)
def nothing(*, number: int, place: Place, out: ArtifactWriter) -> None:
    out.put("number", str(number).encode())


def place_in(home: Path) -> Place:
    return Place(store=str(home / "store"), scratch=str(home / "scratch"), device="cpu", threads=1)


# ---------------------------------------------------------------------------------------------------- per task


def measure_tasks(home: Path, count: int) -> None:
    """Print a table of milliseconds per stage."""
    rows = {"called directly": (plainly(home / "plain", count), plainly(home / "plain", count))}
    for name, runner in {
        "threads, 1 worker": task_runner("threads", 1),
        "threads, 2 workers": task_runner("threads", 2),
        "dask, 1 process": task_runner("dask", 1),
        "dask, 2 processes": task_runner("dask", 2),
    }.items():
        place = place_in(home / name.replace(", ", "-").replace(" ", "-"))
        run = flow(submit_all, name="submit-all", task_runner=runner)
        rows[name] = run(place, count), run(place, count)
    print("| runner | computed, ms | CPU, ms | found in the store, ms | CPU, ms |\n|---|---|---|---|---|")
    for name, both in rows.items():
        print(
            f"| {name} | "
            + " | ".join(f"{1000 * seconds / count:.1f}" for two in both for seconds in two)
            + " |"
        )


def plainly(home: Path, count: int) -> Seconds:
    """Time the stage's body alone, including the store."""
    place = place_in(home)
    return timed(lambda: [nothing.make(number=number, place=place) for number in range(count)])


def submit_all(place: Place, count: int) -> Seconds:
    """Time from the submission of the first task to the end of the last. Workers are warmed up before."""
    making = Making(place)
    making.once(nothing, "warm up", number=-1)
    calls = [Call(nothing, f"task {number}", {"number": number, "place": place}) for number in range(count)]

    def all_of_them() -> None:
        for call, future in [(call, making.submit(call)) for call in calls]:
            making.collect(call, future)

    return timed(all_of_them)


# ------------------------------------------------------------------------------------------------ cached rerun


def measure_rerun(home: Path, count: int) -> None:
    """Print a table with the seconds of a first run, and of a second one that computes nothing."""
    write_clips(home / "clips", count)
    place, tracking = place_in(home), Tracking(uri=f"sqlite:///{home}/mlflow.db", experiment="clips")
    settings = Settings.model_validate(
        {"adapts": "both", "corrector_adaptation": {"steps": 1}, "oclr_finetuning": {"steps": 1, "frames": 2}}
    )
    write_weights(home / "weights")

    def run() -> Any:
        return adapt(
            str(home / "clips"), settings=settings, weights=str(home / "weights"), output=str(home / "out"),
            place=place, tracking=tracking,
        )  # fmt: skip

    first = run()
    reports: list[Any] = []
    clock, cpu = timed(lambda: reports.append(run()))
    second = reports[0]
    if second.recomputed:
        raise RuntimeError(f"{second.recomputed} stages were computed again")
    tasks = sum(counts["cached"] for counts in second.stages.values())
    print(
        "| clips | tasks | first run, s | cached rerun, s | CPU, s | ms per task | CPU, ms |\n"
        + "|---" * 7
        + "|"
    )
    print(
        f"| {count} | {tasks} | {first.seconds['total']:.0f} | {clock:.1f} | {cpu:.1f} "
        f"| {1000 * clock / tasks:.1f} | {1000 * cpu / tasks:.1f} |"
    )


def write_clips(folder: Path, count: int) -> None:
    """Write clips of a few small frames: a square moving over noise, different in each clip."""
    for clip in range(count):
        dice = np.random.default_rng(clip)
        ground = dice.integers(0, 256, (*SIZE, 3), np.uint8)
        (folder / f"{clip:04d}").mkdir(parents=True)
        for frame in range(FRAMES):
            picture = ground.copy()
            picture[10:30, 10 + 4 * frame : 30 + 4 * frame] = (clip % 256, 255 - clip % 256, 128)
            Image.fromarray(picture).save(folder / f"{clip:04d}" / f"{frame}.png")


def write_weights(folder: Path) -> None:
    """Write untrained networks that are as small as possible."""
    folder.mkdir()
    head = {"features": 4, "width": 32, "num_heads": 4, "num_layers": 1, "dropout": 0.0}
    networks: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "features": (CompactFeatures, {"channels": 16, "patch_size": 8, "width": 24}),
        "oclr": (OCLR, head),
        "selector": (MaskSelector, {**head, "feature_channels": 16}),
        "corrector": (MaskCorrector, {**head, "feature_channels": 16}),
    }
    for name, (build, network) in networks.items():
        seen = {"name": "compact", "channels": 16, "patch": 8} if "feature_channels" in network else None
        settings = {"network": network, "features": seen, "training": {"steps": 1}}
        weights = weights_of(fresh_network(build, network, seed=0))
        save_checkpoint(folder / f"{name}.safetensors", Checkpoint(name, settings, weights))


def timed(work: Callable[[], Any]) -> Seconds:
    clock, cpu = time.monotonic(), time.process_time()
    work()
    return time.monotonic() - clock, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("tasks", "rerun"))
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--clips", type=int, default=200)
    given = parser.parse_args()
    machine = platform.processor() or platform.machine()
    load = os.getloadavg()[0]
    print(f"{machine}, {os.cpu_count()} cores, load {load:.1f}; {time.strftime('%Y-%m-%d')}\n")
    quiet()  # silence the server, which is a separate process
    logging.disable(logging.ERROR)
    with (
        tempfile.TemporaryDirectory() as home,
        prefect_test_harness(server_startup_timeout=180),
        temporary_settings({PREFECT_LOCAL_STORAGE_PATH: Path(home) / "records"}),
    ):
        if given.what == "tasks":
            measure_tasks(Path(home), given.tasks)
        else:
            measure_rerun(Path(home), given.clips)


if __name__ == "__main__":
    main()
