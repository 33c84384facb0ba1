"""Verify: find faults in a download, and clips of one's own on which the method will struggle, before a run.

every frame and annotation    decoded and checked (storage/checks/verify.py)
clips of one's own            motion measured on a few frame pairs of each (models/inputs/motion_check.py)
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from motion_adapt.flows.run.console import say
from motion_adapt.flows.run.errors import RunError
from motion_adapt.storage.checks.findings import Finding
from motion_adapt.storage.checks.verify import clips_to_verify, verify_list
from motion_adapt.storage.clips.find_clips import Clip
from motion_adapt.storage.formats.label_rules import Background
from motion_adapt.storage.names import printable
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.settings import GapSettings
from motion_adapt.tasks.verification import check_clip

SHOWN = 5  # findings printed per kind and clip; --json has all


def verify_data(
    source: Path,
    *,
    dataset: str | None,
    split: str | None,
    gaps: GapSettings,
    background: Background,
    workers: int,
) -> list[Finding]:
    """Return all findings about a folder, faults and warnings.

    `gaps`, and the `background` of annotations in colours, are those of the planned run.

    Raises:
        RunError: if the folder has no clips.
    """
    try:
        clips = clips_to_verify(source, dataset=dataset, split=split)
    except (ValueError, OSError) as error:
        raise RunError(str(error)) from error

    def check(clip: Clip) -> list[Finding]:
        return check_clip(clip, clips.annotations, clips.data_set, gaps, background)

    findings = verify_list(clips, source, split)
    with ThreadPoolExecutor(workers) as pool, track(len(clips.clips), "verify") as advance:
        for found in pool.map(check, clips.clips):
            findings += found
            advance(1)
    return findings


def print_findings(console: Console, findings: list[Finding], source: Path) -> None:
    """Print the first few findings of each kind and clip, one per line, and a table that counts them all."""
    shown: Counter[tuple[str, str]] = Counter()
    for item in sorted(findings, key=lambda item: not item.fault):
        shown[item.kind, item.clip] += 1
        if shown[item.kind, item.clip] <= SHOWN:
            head, style = ("fault", "red") if item.fault else ("warning", "yellow")
            say(console, f"{head}, {item.kind}:", f"{item.path}: {item.text}", style)
    table = Table(title=escape(printable(source)), title_justify="left")
    for column in ("finding", "kind"):
        table.add_column(column)
    for column in ("clips", "count"):
        table.add_column(column, justify="right")
    for (kind, fault), count in Counter((item.kind, item.fault) for item in findings).items():
        clips = len({item.clip for item in findings if (item.kind, item.fault) == (kind, fault)})
        table.add_row("fault" if fault else "warning", kind, str(clips), str(count))
    if findings:
        console.print(table)
    faults = sum(item.fault for item in findings)
    if any(count > SHOWN for count in shown.values()):
        say(console, "note:", f"only the first {SHOWN} per kind and clip are printed; --json has all")
    say(console, "faults:", str(faults), "red" if faults else "green")


def findings_json(findings: list[Finding], source: Path, dataset: str) -> dict[str, Any]:
    """Return the findings in plain JSON types; `dataset` is the benchmark's name, or empty."""
    return {
        "source": printable(source),
        "dataset": dataset,
        "faults": sum(item.fault for item in findings),
        "findings": [asdict(item) for item in findings],
    }
