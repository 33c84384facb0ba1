"""Compare the networks in `models/` with an unoptimised transcription of the method (`benchmarks/baseline.py`).

    python benchmarks/networks.py [--quick] [--threads 2] [--repeats 3]

Both versions get the same weights and the same input in one process, one after the other, and must give the same
results. CPU time is measured, so that other work on the machine has little effect. Peak memory is the additional memory
that one pass needs in a fresh process (Linux only). The baseline's attention over 100 frames does not fit into an
ordinary machine and is left out.
"""

import os

# set before torch is loaded: waiting threads must use no CPU time
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import datetime
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import baseline
import numpy as np
import timm
import torch
from torch import Tensor

from motion_adapt.models.inference.pipeline import _remember
from motion_adapt.models.inference.planning import windows
from motion_adapt.models.inputs.features import CORRECTOR_GRID, SELECTOR_GRID, ReferenceFeatures
from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH, normalise_rgb
from motion_adapt.models.networks.corrector import MaskCorrector
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.models.networks.selector import MaskSelector

K, EXEMPLARS, WINDOW, CHANNELS = 3, 10, 7, 384
Run = Callable[[], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Row:
    """One row of the table: what is run, on how many frames, and how much the two results may differ."""

    name: str
    build: Callable[[int], dict[str, Run]]
    frames: int
    atol: float = 2e-4
    rtol: float = 2e-4
    plain: bool = True


def oclr(T: int) -> dict[str, Run]:
    net, flow = OCLR().eval(), 5 * torch.randn(1, T, 4, HEIGHT, WIDTH)

    def here() -> tuple[Tensor, ...]:
        logits, order = net(flow)
        return logits[0], order[0]

    return {"plain": partial(baseline.oclr, net.state_dict(), flow[0]), "here": here}


def selector(T: int) -> dict[str, Run]:
    net = MaskSelector().eval()
    masks, rgb, tokens = blobs(T), torch.randn(T, 3, HEIGHT, WIDTH), torch.randn(T, *SELECTOR_GRID, CHANNELS)
    return {
        "plain": lambda: (baseline.selector(net.state_dict(), masks, rgb, tokens),),
        "here": lambda: (net(masks[None], rgb[None], tokens[None])[0],),
    }


def corrector(T: int) -> dict[str, Run]:
    """Correct a clip in windows. The baseline processes the exemplars again in every window."""
    net = MaskCorrector().eval()
    masks, rgb, tokens = blobs(T), torch.randn(T, 3, HEIGHT, WIDTH), torch.randn(T, *CORRECTOR_GRID, CHANNELS)
    scores, places = torch.randn(T, K).softmax(0), [torch.from_numpy(p) for p in windows(T, WINDOW)]
    table = scores.topk(min(EXEMPLARS, T), dim=0).indices.sort(dim=0).values.T  # (K, E)

    def plain() -> tuple[Tensor, ...]:
        rows, objects = table.T, torch.arange(K)
        exemplars = tokens[rows], masks[rows, objects], scores[rows, objects], table
        outs = []
        for p in places:
            _, alpha, logits = baseline.corrector(net.state_dict(), rgb[p], tokens[p], masks[p], p, exemplars)
            outs += [alpha, logits]
        return tuple(outs)

    def here() -> tuple[Tensor, ...]:
        memory = _remember(
            net, table.numpy(), tokens.numpy(), masks.numpy(), scores.numpy(), torch.device("cpu")
        )
        outs = []
        for p in places:
            window = rgb[p][None], tokens[p][None], masks[p][None], p[None]
            _, alpha, logits = net(*window, memory, with_features=False)
            outs += [alpha[0], logits[0]]
        return tuple(outs)

    return {"plain": plain, "here": here}


def tokens(T: int) -> dict[str, Run]:
    """Compute patch-8 tokens of a clip: here one pass per frame serves targets and exemplars; plain, one per use."""
    vit = timm.create_model("vit_small_patch8_224", num_classes=0, dynamic_img_size=True).eval()
    features = ReferenceFeatures("random", vit, channels=CHANNELS, patch_size=8)
    frames = np.random.default_rng(0).integers(0, 256, (T, HEIGHT, WIDTH, 3), dtype=np.uint8)
    places = [*windows(T, WINDOW), *np.random.default_rng(1).integers(0, T, (K, min(EXEMPLARS, T)))]

    def plain() -> tuple[Tensor, ...]:
        images = normalise_rgb(frames)
        return tuple(baseline.tokens(vit.state_dict(), images[p], CORRECTOR_GRID) for p in places)

    def here() -> tuple[Tensor, ...]:
        table = torch.cat(
            [torch.from_numpy(features.extract(frame[None], CORRECTOR_GRID)) for frame in frames]
        )
        return tuple(table[p] for p in places)

    return {"plain": plain, "here": here}


ROWS = [
    Row("OCLR, T=30", oclr, 30),
    Row("selector, T=50, K=3", selector, 50, atol=5e-5, rtol=0),
    Row("selector, T=100, K=3", selector, 100, plain=False),
    Row("corrector, 50 frames, t=10", corrector, 50),
    Row("ViT-S/8 tokens, 14 frames", tokens, 14),
]
QUICK = [
    Row("OCLR, T=5", oclr, 5),
    Row("selector, T=8, K=3", selector, 8, atol=5e-5, rtol=0),
    Row("corrector, 14 frames, t=10", corrector, 14),
    Row("ViT-S/8 tokens, 7 frames", tokens, 7),
]


def blobs(T: int) -> Tensor:
    """Return masks of K moving discs: f32 (T, K, H, W), 0 or 1."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    centres = torch.rand(1, K, 2) * 0.5 + 0.25 + 0.02 * torch.randn(T, K, 2).cumsum(0).clamp(-10, 10)
    cy, cx = (centres[..., i, None, None] * size for i, size in enumerate((HEIGHT, WIDTH)))
    return ((y - cy) ** 2 + (x - cx) ** 2 < 24**2).float()


def built(row: Row) -> dict[str, Run]:
    torch.manual_seed(0)
    return row.build(row.frames)


def check(row: Row, runs: dict[str, Run]) -> None:
    for wanted, got in zip(runs["plain"](), runs["here"](), strict=True):
        excess = ((got - wanted).abs() - row.atol - row.rtol * wanted.abs()).max()
        if not excess <= 0:
            raise SystemExit(f"{row.name}: the two versions disagree by {excess:.1e} more than they may")


def seconds(runs: dict[str, Run], repeats: int) -> dict[str, float]:
    """Return the median CPU seconds of each version; the versions run alternately."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.process_time()
            run()
            taken[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def peak_memory(row: Row, name: str, threads: int) -> float:
    """Return the GiB that one pass adds to the resident memory of a fresh process."""
    context: Any = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(row, name, threads, send))
    child.start()
    send.close()
    try:
        return receive.recv()
    except EOFError as error:
        raise SystemExit(
            f"{row.name}: the process that measures memory was killed; too little memory?"
        ) from error
    finally:
        child.join()


@torch.inference_mode()
def _measure(row: Row, name: str, threads: int, send: Any) -> None:
    torch.set_num_threads(threads)
    row.build(2)[name]()  # so that the libraries' own memory is already allocated
    run = built(row)[name]
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak (ru_maxrss would include the parent's)
    before = _resident("VmRSS")
    run()
    send.send(_resident("VmHWM") - before)


def _resident(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**20


def machine(threads: int) -> str:
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.split(":")[1].strip() for line in info if line.startswith("model name")), platform.machine()
    )
    return (
        f"{model} ({torch.backends.cpu.get_cpu_capability()}), {threads} of {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, PyTorch {torch.__version__}; "
        f"{datetime.date.today()}"
    )


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="short clips, one repeat")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine(options.threads), end="\n\n")
    print(
        "| network | plain CPU s | here CPU s | time ratio | plain peak GiB | here peak GiB | memory ratio |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    for row in QUICK if options.quick else ROWS:
        if options.only not in row.name:
            continue
        versions = ["plain", "here"] if row.plain else ["here"]
        memory = {name: peak_memory(row, name, options.threads) for name in versions}
        runs = {name: run for name, run in built(row).items() if name in versions}
        if row.plain:
            check(row, runs)
        taken = seconds(runs, 1 if options.quick else options.repeats)
        cells = [*_compared(taken, "{:.1f}"), *_compared(memory, "{:.2f}")]
        print(f"| {row.name} | {' | '.join(cells)} |", flush=True)


def _compared(values: dict[str, float], form: str) -> list[str]:
    here = values["here"]
    if "plain" not in values:
        return ["-", form.format(here), "-"]
    return [form.format(values["plain"]), form.format(here), f"{here / values['plain']:.2f}"]


if __name__ == "__main__":
    main()
