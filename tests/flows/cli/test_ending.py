"""At the end of a command, work that Prefect cancels leaves no trace on the terminal; other errors do."""

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, concurrent.futures, logging, threading
from motion_adapt.flows.cli.ending import hide_cancellations
hide_cancellations()
class Dying:
    def __del__(self):
        raise {error}
def work():
    raise {error}
Dying()
thread = threading.Thread(target=work)
thread.start()
thread.join()
try:
    raise {error}
except BaseException:
    logging.getLogger("concurrent.futures").exception("callback")
"""


@pytest.mark.parametrize(
    ("error", "traces"),
    [
        ("asyncio.CancelledError()", 0),
        ("concurrent.futures.CancelledError()", 0),
        ("ValueError('a defect')", 3),
    ],
)
def test_only_cancellations_are_hidden(error: str, traces: int) -> None:
    program = PROGRAM.format(error=error)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stderr.count("Traceback") == traces, done.stderr
