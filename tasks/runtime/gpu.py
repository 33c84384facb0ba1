"""GPU access: only one stage uses a GPU at a time, and it holds the GPU's lock only while it computes.

Every GPU of a machine has its own lock, shared by all of one user's processes, whichever Prefect server they use. The
kernel holds the lock, so it is released at once if its process is killed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from motion_adapt.storage.locks import alone, shared_folder
from motion_adapt.tasks.runtime.progress import raise_if_stopping


class GpuBusy(RuntimeError):
    """Timed out waiting for a GPU held by another stage."""


@contextmanager
def gpu_to_itself(device: str, *, patience: float) -> Iterator[None]:
    """Hold a GPU exclusively for the block; does nothing if `device` is not a GPU.

    Raises:
        GpuBusy: if other stages still hold it after `patience` seconds.
        Stopped: if the run is being ended meanwhile.
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
    """Return the path of a GPU's lock, named by the card's UUID: `cuda:0` is not the same card in every process."""
    card = str(torch.cuda.get_device_properties(device).uuid) if torch.cuda.is_available() else device
    return shared_folder() / card
