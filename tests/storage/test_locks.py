"""A lock excludes other processes while it is held, and is released when its holder ends, even if it is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from motion_adapt.storage.locks import alone

HOLD = "import sys; from pathlib import Path; from motion_adapt.storage.locks import alone\n"
HOLD += "with alone(Path(sys.argv[1]), patience=0):\n    print('held', flush=True); sys.stdin.read()"


def test_a_lock_is_held_by_one_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "a"
    with alone(path, patience=0) as first, alone(path, patience=0) as second:
        assert (first, second) == (True, False)
        with alone(path.with_name("b"), patience=0) as other:
            assert other
    assert not list(path.parent.iterdir())
    with alone(path, patience=0) as again:
        assert again


def test_many_threads_take_turns(tmp_path: Path) -> None:
    inside, most, turns = 0, 0, 0

    def enter() -> None:
        nonlocal inside, most, turns
        for _ in range(20):
            with alone(tmp_path / "a", patience=600) as held:
                assert held
                inside += 1
                most, turns = max(most, inside), turns + 1
                time.sleep(0.001)  # lets the others in, if the lock does
                inside -= 1

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, turns) == (1, 80)


def test_waiting_ends_after_its_patience_or_when_stopped(tmp_path: Path) -> None:
    looks = 0

    def stop_at_the_third() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise InterruptedError("stop")

    with alone(tmp_path / "a", patience=0):
        began = time.monotonic()
        with alone(tmp_path / "a", patience=0.2) as held:
            assert not held and time.monotonic() - began >= 0.2
        with (
            pytest.raises(InterruptedError),
            alone(tmp_path / "a", patience=600, between=stop_at_the_third),
        ):
            raise AssertionError("it was held twice")
    assert looks == 3


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "a"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with alone(path, patience=0) as held:
            assert not held
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert path.exists()  # the killed process could not delete it
        with alone(path, patience=0) as held:
            assert held
    assert not path.exists()
