"""Gaps in the numbers of a clip's frames."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0?[1-9]|1[0-2]|[^\W\d]{3,9})", r"(?:0?[1-9]|[12]\d|3[01])"
_DATES = (
    rf"{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])",
    *(rf"{one}[-_. ]{two}[-_. ]{three}" for one, two, three in (
        (_YEAR, _MONTH, _DAY), (_DAY, _MONTH, _YEAR), (_MONTH, _DAY, _YEAR)
    )),
)  # fmt: skip
_CLOCKS = (
    r"(?:[01]\d|2[0-3])[-_.:h]?[0-5]\d[-_.:m]?[0-5]\d",
    r"(?:[01]?\d|2[0-3])[-_.:h][0-5]?\d[-_.:m][0-5]?\d",
)
_TIME = re.compile(
    rf"(?:{'|'.join(_DATES)})\D{{0,6}}(?:{'|'.join(_CLOCKS)})(?:\.?\d{{1,9}})?\D*$"  # with fractions of a second
    r"|(?<!\d)1[2-9]\d{8}(?:\d{3}|\d{6}|\d{9})?\D*$"  # seconds since 1970, or as many thousandths and so on
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
