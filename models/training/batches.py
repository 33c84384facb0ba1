"""Batches: a function of seed and step, optionally computed ahead by worker processes."""

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from motion_adapt.models.training.shared_pool import START_METHOD

Batch = dict[str, Any]
Batches = Callable[[int, np.random.Generator], Batch]


def step_seed(seed: int, step: int) -> int:
    """Return the seed of all random numbers drawn in one step."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)


class Steps(Dataset[Batch]):
    """The batches of a run, indexed by step."""

    def __init__(self, batches: Batches, seed: int) -> None:
        self.batches, self.seed = batches, seed

    def __getitem__(self, step: int) -> Batch:
        return self.batches(step, np.random.default_rng([self.seed, step]))


def stream(
    batches: Batches, seed: int, start: int, stop: int, workers: int, *, pinned: bool = False
) -> Iterator[Batch]:
    """Yield the batches of the steps from start to stop, in order.

    Args:
        batches: batches(step, generator) returns a batch.
        seed: seed of the generators.
        start: first step.
        stop: step after the last one.
        workers: processes that prepare batches ahead of time; 0 for none.
        pinned: whether to use pinned memory, from which a GPU copies while the CPU continues.
    """
    ahead: dict[str, Any] = {}
    if workers:
        ahead = {
            "prefetch_factor": 4,
            "multiprocessing_context": START_METHOD,
            "worker_init_fn": single_threaded,
        }
    sampler: Any = range(start, stop)
    yield from DataLoader(
        Steps(batches, seed),
        batch_size=None,
        sampler=sampler,
        num_workers=workers,
        pin_memory=pinned,
        **ahead,
    )


def single_threaded(worker: int) -> None:
    """Limit a worker process to one thread: the number of workers determines how many cores are used."""
    cv2.setNumThreads(0)


def to_device(batch: Any, device: str | torch.device) -> Any:
    """Move arrays and tensors in a batch, at any depth of lists and dicts, to the device, as tensors."""
    if isinstance(batch, dict):
        return {name: to_device(value, device) for name, value in batch.items()}
    if isinstance(batch, list):
        return [to_device(value, device) for value in batch]
    if isinstance(batch, np.ndarray | Tensor):
        return torch.as_tensor(batch).to(device, non_blocking=True)
    return batch
