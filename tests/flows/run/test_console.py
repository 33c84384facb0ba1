"""What a run says of its progress."""

import io
import re
import threading

import pytest
from rich.console import Console

from motion_adapt.flows.run import console as lines
from motion_adapt.flows.run.console import ProgressLines, progress_bars
from motion_adapt.tasks.runtime.progress import track


def test_without_a_terminal_lines_tell_of_all_tasks_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "SECONDS_BETWEEN_LINES", 0.0)
    log = Console(file=io.StringIO(), width=40)
    with (
        progress_bars(log),
        track(60, "flow ±1 of [dog]") as advance,
        track(300, "a clip with a long name: 3 of 4") as other,
    ):
        advance(8)
        other(7)
    told = log.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in told] == [
        "flow ±1 of [dog] 8/60, a clip with a long name: 3 of 4 0/300",
        "flow ±1 of [dog] 8/60, a clip with a long name: 3 of 4 7/300",
    ]


def test_lines_come_now_and_then_and_only_of_work_that_goes_on() -> None:
    log = Console(file=io.StringIO())
    display = ProgressLines(log, every=3600)
    first = display.add_task("first", total=9)
    display.advance(first, 1)
    assert not log.file.getvalue()  # type: ignore[attr-defined]
    display.remove_task(first)
    display.last -= 3601
    second = display.add_task("second", total=9)
    for _ in range(9):
        display.advance(second, 1)
    assert log.file.getvalue().endswith(" second 1/9\n")  # type: ignore[attr-defined]


def test_tasks_of_several_threads_are_counted() -> None:
    display = ProgressLines(Console(file=io.StringIO()), every=3600)
    shared = display.add_task("shared", total=4000)

    def work() -> None:
        for _ in range(1000):
            display.advance(shared, 1)
            display.remove_task(display.add_task("own", total=1))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(task.done, task.total) for task in display.tasks.values()] == [(4000, 4000)]


def test_a_terminal_has_bars() -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    with progress_bars(terminal), track(4, "flow") as advance:
        advance(3)
    assert "━" in terminal.file.getvalue()  # type: ignore[attr-defined]
