"""Count the values in the masks of a clip. The rules of `storage.formats.label_rules` use nothing else."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Kind = Literal["index", "grey8", "grey16", "colour"]
INDEX: Kind = "index"
GREY8: Kind = "grey8"
GREY16: Kind = "grey16"
COLOUR: Kind = "colour"
TOP = {INDEX: 255, GREY8: 255, GREY16: 65535}
GREY_STEP = 0x010101  # between neighbouring greys as colours
TOO_MANY = 4096  # colours; beyond, they are not told apart
# A value is an object's, not one of smooth edges, if so many of its pixels have equal neighbours on two sides, and so
# many of its contacts are with values other than the next smaller and larger ones, which edges always lie between.
_FLAT, _SKIPPING = 0.25, 0.1
_BITS = 24  # of a value


@dataclass
class Tally:
    """The counts of the values of one kind in a clip, in order of first appearance.

    Attributes:
        kind: the kind of picture that stores the values.
        count: pixels of each value.
        areas: pixels that equal their neighbours on two sides.
        border: pixels at the frame's edge.
        contacts: neighbouring pixels of two values, by the smaller one << 24 | the larger one.
        first: number of the picture in which a value appears first.
    """

    kind: Kind
    count: dict[int, int] = field(default_factory=dict)
    areas: dict[int, int] = field(default_factory=dict)
    border: dict[int, int] = field(default_factory=dict)
    contacts: dict[int, int] = field(default_factory=dict)
    first: dict[int, int] = field(default_factory=dict)

    def add(self, values: np.ndarray, picture: int) -> None:
        """Count a picture (H, W), by its number. Colours are in order line by line, greys and indices by their size."""
        if len(self.count) > TOO_MANY:
            return
        found, first, counts = np.unique(values, return_index=True, return_counts=True)
        order = np.argsort(first) if self.kind == COLOUR else slice(None)
        _add(self.count, found[order], counts[order])
        for value in found.tolist():
            self.first.setdefault(value, picture)
        if self.kind == INDEX:
            return
        corner = values[:-1, :-1]
        same = (corner == values[1:, :-1]) & (corner == values[:-1, 1:]) & (corner == values[1:, 1:])
        _add(self.areas, *np.unique(corner[same], return_counts=True))
        edges = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
        _add(self.border, *np.unique(edges, return_counts=True))
        for one, other in ((values[:, :-1], values[:, 1:]), (values[:-1], values[1:])):
            pair = np.stack([one[one != other], other[one != other]]).astype(np.int64)
            _add(self.contacts, *np.unique(pair.min(axis=0) << _BITS | pair.max(axis=0), return_counts=True))

    @property
    def values(self) -> list[int]:
        """The values but 0, in order of first appearance."""
        return [value for value in self.count if value]

    def is_object(self, value: int) -> bool:
        """Return whether a value fills areas, rather than lines between the next smaller and the next larger value."""
        rank = {value: place for place, value in enumerate(sorted({0, *self.count}))}
        all_, skipping = 0, 0
        for pair, count in self.contacts.items():
            both = pair >> _BITS, pair & ((1 << _BITS) - 1)
            if value in both:
                all_ += count
                skipping += count if abs(rank[both[0]] - rank[both[1]]) > 1 else 0
        between = rank[value] > 1 and skipping < _SKIPPING * all_
        return self.areas.get(value, 0) >= _FLAT * self.count[value] and not between

    def scaled(self, kind: Kind, factor: float) -> "Tally":
        """Return the tally with every value multiplied by `factor`, as values of another kind."""

        def value(old: int) -> int:
            return round(old * factor)

        def pair(old: int) -> int:
            return value(old >> _BITS) << _BITS | value(old & ((1 << _BITS) - 1))

        return Tally(
            kind,
            count={value(old): count for old, count in self.count.items()},
            areas={value(old): count for old, count in self.areas.items()},
            border={value(old): count for old, count in self.border.items()},
            contacts={pair(old): count for old, count in self.contacts.items()},
            first={value(old): picture for old, picture in self.first.items()},
        )

    def joined(self, other: "Tally") -> "Tally":
        """Return the sum of two tallies."""
        both = self.scaled(self.kind, 1)
        for mine, theirs in (
            (both.count, other.count),
            (both.areas, other.areas),
            (both.border, other.border),
            (both.contacts, other.contacts),
        ):
            for value, count in theirs.items():
                mine[value] = mine.get(value, 0) + count
        for value, picture in other.first.items():
            both.first[value] = min(picture, both.first.get(value, picture))
        return both


def _add(totals: dict[int, int], values: np.ndarray, counts: np.ndarray) -> None:
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        totals[value] = totals.get(value, 0) + count
