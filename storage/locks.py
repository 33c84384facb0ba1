"""Locks between processes of one machine, held by the kernel: a killed holder's lock is gone with the holder.

They save work and keep two writers of one file apart; nothing that the store guarantees rests on them.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST_PAUSE = 0.5  # seconds between two looks at a lock that another process holds


@contextmanager
def alone(path: Path, *, patience: float, between: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Hold the lock at `path`; True, or False where another process still held it after `patience` seconds.

    `between` is called between two looks at a lock that is held, and may raise in order to wait no longer.

    The file goes away with the lock, so that locks leave nothing behind but those of killed processes, which are
    free again.

    Raises:
        OSError: where the file system can't be written or knows no locks.
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
        path.unlink(missing_ok=True)  # before it is let go: see _take
        os.close(handle)


def _take(path: Path) -> int | None:
    """An open, locked handle; None where another holds the lock, or the file at `path` is no longer this one."""
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
