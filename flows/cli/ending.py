"""The end of a command: Prefect cancels its own background work then, and now and then a trace of that gets out."""

import asyncio
import concurrent.futures
import logging
import sys
import threading
from typing import Any

CANCELLED = (asyncio.CancelledError, concurrent.futures.CancelledError)


def hide_cancellations() -> None:
    """Print no trace of cancelled work in the background. Every other error is printed as before."""
    in_threads, elsewhere = threading.excepthook, sys.unraisablehook

    def thread_ended(args: Any) -> None:
        if not issubclass(args.exc_type, CANCELLED):
            in_threads(args)

    def not_raised(args: Any) -> None:
        if not issubclass(args.exc_type, CANCELLED):
            elsewhere(args)

    threading.excepthook, sys.unraisablehook = thread_ended, not_raised
    for name in ("asyncio", "concurrent.futures"):
        logging.getLogger(name).addFilter(_tells_more)


def _tells_more(record: logging.LogRecord) -> bool:
    """Return whether a log record is about anything but a cancellation."""
    kind = record.exc_info[0] if isinstance(record.exc_info, tuple) else None
    return kind is None or not issubclass(kind, CANCELLED)
