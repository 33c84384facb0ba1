"""A clip's frames side by side, for arithmetic that keeps one core busy and Python's lock with it.

The work itself is handed over, not arrays: whoever takes a span of frames reads it from the store.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager

import numpy as np
import psutil
from loky import ProcessPoolExecutor

SPAN = 4  # frames that are handed over at once


def in_spans(
    work: Callable[[int, int], np.ndarray], frames: int, *, threads: int, memory: int
) -> Iterator[np.ndarray]:
    """`work(start, stop)` of consecutive spans of a clip's frames, in their order.

    In a task on a Dask cluster all its workers take spans; elsewhere `threads` processes of this machine do, or this
    one where that is one; fewer where `memory` bytes for each of them are more than half of what is free. `work` can be
    pickled and gives the same wherever it runs. Two results for each of those at work are waited for at a time, so
    memory does not grow with the clip.
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
    """Who takes the spans, and how many they are: a cluster's workers, `size` processes, or none but the caller."""
    if on_a_cluster():
        from distributed import worker_client

        with worker_client() as client:  # this thread makes room for the spans while it waits for them
            yield client.get_executor(pure=False), sum(client.nthreads().values())
    elif size < 2:
        yield None, 1
    else:
        # Unlike multiprocessing's, these processes don't import the program that they are started from.
        pool = ProcessPoolExecutor(size, timeout=60)
        try:
            yield pool, size
        finally:
            pool.shutdown(kill_workers=True)


def on_a_cluster() -> bool:
    """Whether this is a worker of a Dask cluster."""
    from distributed import get_worker  # takes a second, which runs without such work need not wait

    try:
        get_worker()
    except ValueError:
        return False
    return True
