"""A GPU is for one stage at a time: a stage that computes on it holds the GPU's lock, and only while it computes.

Every GPU of a machine has a lock of its own, which all of one user's processes there share, whatever Prefect server
they use. The kernel holds it, so that it is free again at once when its holder is killed.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from motion_adapt.storage.locks import alone
from motion_adapt.tasks.runtime.progress import raise_if_stopping


class GpuBusy(RuntimeError):
    """Other stages kept a GPU for longer than one waits for it."""


@contextmanager
def gpu_to_itself(device: str, *, patience: float) -> Iterator[None]:
    """Be the only stage on a GPU for the time of a block; on a CPU there is nothing to wait for.

    Raises:
        GpuBusy: where others still had it after `patience` seconds.
    """
    if not device.startswith("cuda"):
        yield
        return
    lock = gpu_lock(device)
    with alone(lock, patience=patience, between=raise_if_stopping) as held:
        if not held:
            raise GpuBusy(
                f"{device} was in use by other stages on this machine for {patience:g} seconds. "
                f"'fuser {lock}' names the process; once it has ended, run the same command again"
            )
        yield


def gpu_lock(device: str) -> Path:
    """Where the lock of a GPU lies: named after the very card, which `cuda:0` is not the same for every process."""
    card = str(torch.cuda.get_device_properties(device).uuid) if torch.cuda.is_available() else device
    return Path(tempfile.gettempdir()) / f"motion-adapt-{os.getuid()}" / card
