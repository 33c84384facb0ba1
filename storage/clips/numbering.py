"""Gaps in the numbers of a clip's frames."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

_TIME = re.compile(
    r"(?:19|20)\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])"  # a date
    r"\D{0,3}(?:[01]\d|2[0-3])[-_.:h]?[0-5]\d[-_.:m]?[0-5]\d"  # and a time of day
    r"(?:\.?\d{1,9})?\D*$"  # with fractions of a second
)


def numbering_gaps(files: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Return the pairs of neighbouring frames whose numbers are further apart than usual; every fifth frame is no gap.

    Only a counter can have gaps: the last number of names that are the same up to it, and whose steps are multiples of
    the smallest. Dates and times of day are no counters.
    """
    parts = [re.fullmatch(r"(.*?)([0-9]+)\D*", file.stem, re.DOTALL) for file in files]
    found = [part for part in parts if part]
    if len(found) < max(len(files), 2) or len({part[1] for part in found}) > 1:
        return []
    if all(_TIME.search(file.stem) for file in files):
        return []
    steps = [after - before for before, after in pairwise(int(part[2]) for part in found)]
    usual = min(steps)
    if usual < 1 or any(step % usual for step in steps):
        return []
    return [pair for pair, step in zip(pairwise(files), steps, strict=True) if step > usual]
