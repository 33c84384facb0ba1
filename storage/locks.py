"""Locks between processes of one machine, held by the kernel (flock): released when the holding process dies.

They avoid duplicate work and keep two processes from writing one file. The store's guarantees do not rely on them.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST_PAUSE = 0.5  # seconds between two attempts at a lock that another process holds


@contextmanager
def alone(path: Path, *, patience: float, between: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Hold the lock at `path` for the block; yield False if another process still holds it after `patience` seconds.

    The lock file is deleted on release. Only killed processes leave one behind, and it no longer locks anything.

    Args:
        path: the lock file; its folder is created.
        patience: seconds to wait.
        between: called between two attempts; may raise to stop waiting.

    Raises:
        OSError: if the file system cannot be written or does not support locks.
    """
    until, pause = time.monotonic() + patience, 0.005
    path.parent.mkdir(parents=True, exist_ok=True)
    while (handle := _take(path)) is None:
        if time.monotonic() >= until:
            yield False
            return
        between()
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)  # before the lock is released: see _take
        os.close(handle)


def _take(path: Path) -> int | None:
    """Return an open, locked handle; None if another process holds the lock or has replaced the file at `path`."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino == path.stat().st_ino:
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None
