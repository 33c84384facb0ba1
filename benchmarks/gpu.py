"""Measure the method on a GPU: seconds per frame of every stage at the paper's sizes, and the store's share of them.

    python benchmarks/gpu.py [--device cuda] [--frames 100] [--size paper] [--precision float32] [--steps 200]

Networks have random weights, which take the time of trained ones, and frames are noise; only RAFT needs its weights
(else its row is left out). `busy` is the share of the time in which the GPU runs kernels; for the rest it waits for
Python. `store` is the time to read a stage's arrays from the store and write its results there, as a share of the
stage's time. Each figure is the best of three, after one run to warm up; the adaptation to a clip runs once.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timm
import torch
from torch.profiler import ProfilerActivity, profile

from motion_adapt.models.adaptation.adapt_corrector import CorrectorClip
from motion_adapt.models.adaptation.per_clip import adapt_to_clip
from motion_adapt.models.inference.pipeline import correct, propose, select
from motion_adapt.models.inputs.downloads import WeightsMissing
from motion_adapt.models.inputs.features import CORRECTOR_GRID, SELECTOR_GRID, ReferenceFeatures
from motion_adapt.models.inputs.flow import flow_estimator
from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH
from motion_adapt.models.networks.checkpoints import Checkpoint, new_network, weights_of
from motion_adapt.models.networks.precision import PRECISIONS, autocast_dtype
from motion_adapt.models.networks.sizes import SIZES
from motion_adapt.models.synthetic.synthetic_clip import NUM_OBJECTS
from motion_adapt.models.training.course import Course
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.keys import Recipe

NATIVE = 480, 854
REPEATS = 3
FROM_FLOW, OF_ADAPTATION = 0.098, 2.03  # the paper's seconds per frame


@dataclass(frozen=True)
class Row:
    """A stage: its work on all frames, the arrays that it reads from the store, and those that it writes."""

    name: str
    work: Callable[[], object]
    reads: tuple[np.ndarray, ...]
    writes: tuple[np.ndarray, ...]
    once: bool = False


def rows_of(given: argparse.Namespace) -> list[Row]:
    """Return the stages of a clip of noise."""
    T, device, size = given.frames, given.device, SIZES[given.size]
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    rgb = rng.integers(0, 256, (T, HEIGHT, WIDTH, 3), np.uint8)
    native = rng.integers(0, 256, (min(T, 16), *NATIVE, 3), np.uint8)
    flow = rng.normal(0, 2, (T, 4, HEIGHT, WIDTH)).astype(np.float16)
    masks = discs(T)
    channels = size["corrector"]["feature_channels"]
    coarse, fine = (
        rng.normal(size=(T, *grid, channels)).astype(np.float16) for grid in (SELECTOR_GRID, CORRECTOR_GRID)
    )
    scores = np.full((T, NUM_OBJECTS), 1 / T, np.float32)
    marks = np.zeros((T, NUM_OBJECTS), bool)
    marks[np.linspace(0, T - 1, min(10, T)).astype(int)] = True
    probabilities = masks.astype(np.float16)
    nets = {
        name: new_network(name, size[name]).to(device).eval() for name in ("oclr", "selector", "corrector")
    }
    how = {"precision": autocast_dtype(given.precision)}
    clip = CorrectorClip(rgb=rgb, tokens=fine, masks=masks, scores=scores, exemplars=marks, corrected=masks)
    start = Checkpoint(
        "corrector",
        {"network": size["corrector"], "features": None, "training": None},
        weights_of(new_network("corrector", size["corrector"])),
    )
    course = Course(steps=given.steps, device=str(device))
    return [
        *raft(native, given),
        *vits(native, given),
        Row("proposal", lambda: [*propose(nets["oclr"], flow, **how)], (flow,), (masks,)),
        Row(
            "selection",
            lambda: [*select(nets["selector"], rgb, coarse, masks, **how)],
            (rgb, coarse, masks),
            (scores, marks),
        ),
        Row(
            "correction",
            lambda: [*correct(nets["corrector"], rgb, fine, masks, scores, marks, **how)],
            (rgb, fine, masks, scores, marks),
            (masks, probabilities),
        ),
        Row(
            f"adaptation to the clip, {given.steps} steps",
            lambda: adapt_to_clip(start, clip, course, patience=given.steps),
            (rgb, fine, masks, scores, marks, masks),
            (),
            once=True,
        ),
    ]


def raft(native: np.ndarray, given: argparse.Namespace) -> list[Row]:
    """Return the row of RAFT, of one direction of a pair; an empty list if its weights are missing."""
    try:
        estimator = flow_estimator("raft_large", weights="C_T_V1", updates=20, device=given.device)
    except WeightsMissing as missing:
        print(f"no row of RAFT: {str(missing).splitlines()[0]}\n")
        return []
    first, second = native[:-1], native[1:]

    def work() -> None:
        for index in range(0, len(first), 4):
            estimator(first[index : index + 4], second[index : index + 4])

    return [
        Row(
            "RAFT, 480 x 854, one direction",
            work,
            (),
            (noise((len(first), 2, HEIGHT, WIDTH)),),
        )
    ]


def vits(native: np.ndarray, given: argparse.Namespace) -> list[Row]:
    """Return the rows of the two feature networks of the paper."""
    rows = []
    for patch, grid in ((16, SELECTOR_GRID), (8, CORRECTOR_GRID)):
        vit = timm.create_model(f"vit_small_patch{patch}_224", num_classes=0, dynamic_img_size=True)
        network = ReferenceFeatures("random", vit.to(given.device), channels=384, patch_size=patch)
        tokens = noise((len(native), *grid, 384))

        def work(network: ReferenceFeatures = network, grid: tuple[int, int] = grid) -> None:
            for index in range(0, len(native), 8):
                network.extract(native[index : index + 8], grid)

        rows.append(Row(f"ViT-S/{patch} on {grid[0]} x {grid[1]}", work, (), (tokens,)))
    return rows


def noise(shape: tuple[int, ...]) -> np.ndarray:
    """Return f16 values that the store cannot compress to nothing, as it does zeros."""
    return np.random.default_rng(1).normal(size=shape).astype(np.float16)


def discs(T: int) -> np.ndarray:
    """Return bool (T, K, H, W): one moving disc per object."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    centres = np.linspace(40, WIDTH - 40, T)[:, None] + 12 * np.arange(NUM_OBJECTS)
    rows = (np.arange(NUM_OBJECTS) + 0.5) * HEIGHT / NUM_OBJECTS
    return np.asarray((x - centres[..., None, None]) ** 2 + (y - rows[None, :, None, None]) ** 2 < 20**2)


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of `work`, until the GPU has ended too."""
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def busy(work: Callable[[], object], device: torch.device) -> float | None:
    """Return the seconds in which the GPU runs kernels; None on a CPU."""
    if device.type != "cuda":
        return None
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        timed(work, device)
    return sum(event.self_device_time_total for event in seen.key_averages()) / 1e6


def storing(row: Row) -> float:
    """Return the seconds that the store takes to read a stage's arrays and to write its results."""
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore(Path(folder))

        def put(name: str, arrays: tuple[np.ndarray, ...]):  # type: ignore[no-untyped-def]
            with store.write(Recipe(name, 1)) as out:
                for index, rows in enumerate(arrays):
                    out.append(f"a{index}", rows, ("time", "a", "b", "c")[: rows.ndim])
            return out.published

        read = put("reads", row.reads) if row.reads else None
        began = time.perf_counter()
        if read:
            opened = store.open(read)
            for index in range(len(row.reads)):
                opened.array(f"a{index}")[:]
        if row.writes:
            put("writes", row.writes)
        return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--size", choices=sorted(SIZES), default="paper")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--steps", type=int, default=200, help="of the adaptation to the clip")
    given = parser.parse_args()
    cuda = given.device.type == "cuda"
    if cuda and not torch.cuda.is_available():
        parser.error("PyTorch sees no GPU here; --device cpu measures the CPU")
    where = torch.cuda.get_device_name(given.device) if cuda else f"CPU, {torch.get_num_threads()} threads"
    rows, total = rows_of(given), 0.0
    print(f"{where}; PyTorch {torch.__version__}; {given.size}, {given.precision}, {given.frames} frames\n")
    print("| stage | s a frame | the paper | busy | store |\n|---|---|---|---|---|")
    for row in rows:
        frames = given.frames if row.reads else len(row.writes[0])
        if not row.once:
            timed(row.work, given.device)  # warms up
        seconds = min(timed(row.work, given.device) for _ in range(1 if row.once else REPEATS))
        kernels = None if row.once else busy(row.work, given.device)
        if row.name in ("proposal", "selection", "correction"):
            total += seconds / given.frames
        print(
            f"| {row.name} | {seconds / frames:.4f} | {OF_ADAPTATION if row.once else ''} "
            f"| {'' if kernels is None else f'{100 * kernels / seconds:.0f} %'} "
            f"| {100 * storing(row) / seconds:.1f} % |",
            flush=True,
        )
    print(f"| from stored flow: the three networks | {total:.4f} | {FROM_FLOW} | | |")


if __name__ == "__main__":
    main()
