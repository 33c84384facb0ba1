"""Locks between processes of one machine, held by the kernel: released when the holding process dies.

They avoid duplicate work and keep two processes from writing one file. The store's guarantees do not rely on them.
"""

import getpass
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def alone(path: Path, *, patience: float, between: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Hold the lock at `path` for the block; yield False if another process still holds it after `patience` seconds.

    The lock file is deleted on release. Only killed processes leave one behind, and it no longer locks anything.

    Args:
        path: the lock file; its folder is created.
        patience: seconds to wait; 0 makes one attempt.
        between: called between two attempts; may raise to stop waiting.

    Raises:
        OSError: if the file system cannot be written or does not support locks.
    """

    def give_up() -> bool:
        between()
        return False

    path.parent.mkdir(parents=True, exist_ok=True)
    # The library's fallback is a marker file, which would outlive a killed process.
    lock = FileLock(path, fallback_to_soft=False)
    with suppress(Timeout):
        lock.acquire(timeout=patience, blocking=patience > 0, cancel_check=give_up)
    try:
        yield lock.is_locked
    finally:
        if lock.is_locked:
            # The library leaves the file. Processes that wait for a deleted one open a new one.
            if os.name == "posix":  # elsewhere an open file cannot be deleted
                path.unlink(missing_ok=True)
            lock.release()


def shared_folder() -> Path:
    """Return the folder for locks that all of a user's processes on this machine share."""
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    return Path(tempfile.gettempdir()) / f"motion-adapt-{user}"
