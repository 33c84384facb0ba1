"""Process a clip's frames in parallel processes, for CPU-bound work that holds the GIL.

Processes receive the function and frame numbers, not arrays: each reads its span of frames from the store.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager

import numpy as np
import psutil
from loky import ProcessPoolExecutor

SPAN = 4  # frames per call


def in_spans(
    work: Callable[[int, int], np.ndarray], frames: int, *, threads: int, memory: int
) -> Iterator[np.ndarray]:
    """Yield `work(start, stop)` for consecutive spans of a clip's frames, in order.

    In a task on a Dask cluster, all its workers share the spans; elsewhere, processes of this machine do. At most two
    results per process are pending at a time, so memory does not grow with the clip.

    Args:
        work: the function to call; can be pickled, and its result does not depend on where it runs.
        frames: number of frames in the clip.
        threads: number of processes; with one, `work` runs in this process.
        memory: bytes that one process needs; fewer processes are started if they would use more than half of the free
            memory.
    """
    spans = [(start, min(start + SPAN, frames)) for start in range(0, frames, SPAN)]
    room = psutil.virtual_memory().available // 2 // memory
    with crew(min(threads, len(spans), room)) as (pool, size):
        if pool is None:
            yield from (work(*span) for span in spans)
            return
        begun: deque[Future[np.ndarray]] = deque()
        for span in spans:
            begun.append(pool.submit(work, *span))
            if len(begun) == 2 * size:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


@contextmanager
def crew(size: int) -> Iterator[tuple[Executor | None, int]]:
    """Yield (executor, workers): a cluster's workers, `size` processes, or (None, 1) to run in this process."""
    if on_a_cluster():
        from distributed import worker_client

        with worker_client() as client:  # this thread leaves its slot to the spans while it waits for them
            yield client.get_executor(pure=False), sum(client.nthreads().values())
    elif size < 2:
        yield None, 1
    else:
        # Unlike multiprocessing's processes, these do not import the program that starts them.
        pool = ProcessPoolExecutor(size, timeout=60)
        try:
            yield pool, size
        finally:
            pool.shutdown(kill_workers=True)


def on_a_cluster() -> bool:
    """Return whether this process is a worker of a Dask cluster."""
    from distributed import get_worker  # imported here because it takes a second

    try:
        get_worker()
    except ValueError:
        return False
    return True
