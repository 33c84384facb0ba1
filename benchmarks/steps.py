"""Measure the time of a training step of OCLR on a device, by the number of clips in it.

    python benchmarks/steps.py --device cuda [--batch 2 8 16] [--frames 9] [--size compact] [--steps 15]

A step is the forward pass, the backward pass and the update of the weights, on one batch that stays on the device.
Generating the clips is not included (see `benchmarks/engine.py`). The result is the median over the steps, after five
warm-up steps.
"""

import argparse
import statistics
import time

import torch

from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.models.networks.precision import TRAINING_PRECISIONS
from motion_adapt.models.networks.sizes import SIZES
from motion_adapt.models.pretraining.train_oclr import AmodalLoss
from motion_adapt.models.training.course import Schedule
from motion_adapt.models.training.loop import optimiser_for, update

WARM_UP = 5
RATE = 1e-5


def seconds(size: str, precision: str, device: torch.device, batch: int, frames: int, steps: int) -> float:
    """Return the median seconds of a step."""
    torch.manual_seed(0)
    module = OCLR(**SIZES[size]["oclr"]).to(device).train()
    height, width = HEIGHT // module.reduction, WIDTH // module.reduction
    flow = torch.randn(batch, frames, module.in_channels, height, width, device=device)
    amodal = torch.rand(batch, frames, module.num_queries, height, width, device=device) > 0.8
    optimiser, loss = optimiser_for(module, Schedule(RATE)), AmodalLoss(precision)
    times = []
    for _ in range(WARM_UP + steps):
        began = time.perf_counter()
        update(module, optimiser, loss, {"flow": flow, "amodal": amodal}, RATE)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return statistics.median(times[WARM_UP:])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--batch", type=int, nargs="+", default=[2, 8, 16], help="clips in a step")
    parser.add_argument("--frames", type=int, default=9)
    parser.add_argument("--size", choices=sorted(SIZES), default="compact")
    parser.add_argument("--steps", type=int, default=15)
    given = parser.parse_args()
    cuda = given.device.type == "cuda"
    where = torch.cuda.get_device_name(given.device) if cuda else f"{torch.get_num_threads()} threads"
    print(f"{where}; PyTorch {torch.__version__}; OCLR {given.size}, {given.frames} frames\n")
    print("| clips | " + " | ".join(f"{name}, ms" for name in TRAINING_PRECISIONS) + " |")
    print("|---|" + "---|" * len(TRAINING_PRECISIONS))
    for batch in given.batch:
        found = [
            seconds(given.size, precision, given.device, batch, given.frames, given.steps)
            for precision in TRAINING_PRECISIONS
        ]
        print(f"| {batch} | " + " | ".join(f"{1000 * value:.0f}" for value in found) + " |", flush=True)


if __name__ == "__main__":
    main()
