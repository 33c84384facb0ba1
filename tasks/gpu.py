"""The GPU as a named limit: a stage that computes on it holds a slot, and only while it computes.

All flows of one Prefect server share the limit; `prefect gcl update motion-adapt-gpu --limit 2` lets two in at once.
"""

from contextlib import AbstractContextManager, nullcontext, suppress

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

GPU_LIMIT = "motion-adapt-gpu"


def gpu_slot(device: str) -> AbstractContextManager[None]:
    """A slot of `GPU_LIMIT`, waited for where the device is a GPU; nothing on a CPU.

    The limit is made, with one slot, where Prefect's server has none. A slot that a killed process held comes free
    when its lease runs out.
    """
    if not device.startswith("cuda"):
        return nullcontext()
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(GPU_LIMIT)
        except ObjectNotFound:
            with suppress(ObjectAlreadyExists):  # another process was faster
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=GPU_LIMIT, limit=1))
    return concurrency(GPU_LIMIT, occupy=1, strict=True)
