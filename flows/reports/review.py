"""Print the frames that deserve a look."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from motion_adapt.flows.run.console import say
from motion_adapt.flows.run.errors import RunError
from motion_adapt.storage.results.doubtful import LIST, PICTURES, DoubtfulFrame, read_doubtful

RESULTS = Path("motion-adapt/results")


def find_results(named: Path) -> Path:
    """Return the folder of results that is meant: a path, or a name in `RESULTS`; the first that has a list of frames.

    Raises:
        RunError: if there is no such folder, or none with a list.
    """
    # a source is often named like its results, and is then a folder without a list
    folders = [folder for folder in dict.fromkeys((named, RESULTS / named)) if folder.is_dir()]
    if not folders:
        raise RunError(f"there is no folder {named}, nor {RESULTS / named}: name a run's folder of results")
    for folder in folders:
        if (folder / LIST).exists():
            return folder
    raise RunError(f"there is no {LIST} in {' or '.join(map(str, folders))}: name a run's folder of results")


def read_review(named: Path) -> tuple[Path, list[DoubtfulFrame]]:
    """Return the folder of results that is meant, and its frames.

    Raises:
        RunError: if there is no such folder, or it has no list of frames.
    """
    folder = find_results(named)
    try:
        return folder, read_doubtful(folder)
    except ValueError as error:
        raise RunError(str(error)) from error


def print_review(console: Console, folder: Path, found: Sequence[DoubtfulFrame]) -> None:
    """Print the frames as a table, and what to do about those whose masks are wrong."""
    if not found:
        say(console, "doubtful frames:", "none; all stages agree")
        return
    table = Table(title="frames to look at, in each clip the most useful first", title_justify="left")
    for column in ("clip", "frame", "doubt", "why", "mask"):
        justify = "right" if column == "doubt" else "left"
        table.add_column(column, justify=justify, no_wrap=column != "why")  # type: ignore[arg-type]
    for item in found:
        cells = (item.clip, item.frame, f"{item.doubt:.2f}", item.why, item.mask)
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    say(console, "masks are in", str(folder))
    say(console, "pictures are in", str(folder / PICTURES))
    say(
        console,
        "to mend a mask,",
        "copy it to EXEMPLARS/<clip>/<frame>.png, paint it right, and run again with --exemplars EXEMPLARS",
    )
