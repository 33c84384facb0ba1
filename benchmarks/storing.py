"""Measure the speed of the store: writing and reading the pipeline's arrays, against a plain copy of the same bytes.

    python benchmarks/storing.py [--frames 300] [--repeats 3] [--folder DIR]

Each array is written and read shard by shard, as stages do: chunked, compressed, hashed, read back before it is
published, and checked when it is read. The plain copy is one file of the same bytes, written and read in pieces of the
size of a shard. Both run alternately in one process. CPU time, including system time, is measured, so that other work
on the machine has little effect. A ratio is the store's time divided by the plain copy's.
"""

import argparse
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from motion_adapt.models.inputs.features import CORRECTOR_GRID
from motion_adapt.storage.artifacts.arrays import plan_rows
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.keys import Artifact, Recipe

HEIGHT, WIDTH = 128, 224


def wandering(frames: int, channels: int, height: int, width: int) -> np.ndarray:
    """Return f32 (T, H, W, C): drifting smooth noise with a little grain, about as compressible as real data."""
    rng = np.random.default_rng(0)
    field = rng.normal(size=(height + 2 * frames, width, 4)).astype(np.float32)
    field = 6 * cv2.GaussianBlur(field, (0, 0), 6) @ rng.normal(size=(4, channels)).astype(np.float32)
    grain = 0.05 * rng.normal(size=(frames, height, width, channels)).astype(np.float32)
    return np.stack([field[2 * t : 2 * t + height] for t in range(frames)]) + grain


def kinds(frames: int) -> Iterator[tuple[str, np.ndarray, tuple[str, ...]]]:
    """Yield (name, values, names of the dimensions) of arrays like those that the stages of a clip store."""
    image = ("time", "row", "column", "channel")
    yield "frames u8", np.uint8(np.clip(wandering(frames, 3, HEIGHT, WIDTH) * 60 + 128, 0, 255)), image
    flow = 4 * wandering(frames, 4, HEIGHT, WIDTH).astype(np.float16).transpose(0, 3, 1, 2)
    yield "flow f16", np.ascontiguousarray(flow), ("time", "component", "row", "column")
    yield "features f16", wandering(frames, 384, *CORRECTOR_GRID).astype(np.float16), image
    masks = wandering(frames, 3, HEIGHT, WIDTH).transpose(0, 3, 1, 2) > 1
    yield "masks bool", np.ascontiguousarray(masks), ("time", "object", "row", "column")


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def compare(folder: Path, name: str, rows: np.ndarray, dims: tuple[str, ...], repeats: int) -> list[float]:
    """Return MB of values, MB in the store, and the best times: plain write, store write, plain read, store read."""
    step = plan_rows(rows[0].nbytes)[1]
    copy, whole = folder / "copy", []
    for _ in range(repeats):
        store = ArtifactStore(folder / uuid.uuid4().hex)  # files that this process has not verified yet
        made: list[Artifact] = []

        def plain_write() -> None:
            with copy.open("wb") as file:
                for start in range(0, len(rows), step):
                    file.write(rows[start : start + step].data)

        def write(store: ArtifactStore = store, made: list[Artifact] = made) -> None:
            with store.write(Recipe(name.split()[0], 1)) as out:
                for start in range(0, len(rows), step):
                    out.append("x", rows[start : start + step], dims)
            made.append(out.published)

        def plain_read() -> None:
            with copy.open("rb") as file:
                while file.read(step * rows[0].nbytes):
                    pass

        def read(store: ArtifactStore = store, made: list[Artifact] = made) -> None:
            for start, block in store.open(made[0]).array("x").blocks():
                if start == 0 and not np.array_equal(block, rows[: len(block)]):
                    raise ValueError(f"{name}: other values came back")

        whole.append([seconds(work) for work in (plain_write, write, plain_read, read)])
        stored = sum(entry.size for entry in store.manifest(made[0]).files.values())
    return [rows.nbytes / 1e6, stored / 1e6, *np.min(whole, axis=0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="folder to write to; default: a temporary folder")
    options = parser.parse_args()
    print("| array | MB | stored MB | write MB/s | plain MB/s | ratio | read MB/s | plain MB/s | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name, rows, dims in kinds(options.frames):
            size, stored, *times = compare(Path(folder), name, rows, dims, options.repeats)
            plain_write, write, plain_read, read = times
            print(
                f"| {name} | {size:.1f} | {stored:.1f} "
                f"| {size / write:.0f} | {size / plain_write:.0f} | {write / plain_write:.1f} "
                f"| {size / read:.0f} | {size / plain_read:.0f} | {read / plain_read:.1f} |"
            )


if __name__ == "__main__":
    main()
