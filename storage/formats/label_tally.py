"""Count the values in the masks of a clip. The rules that turn values into labels use nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from motion_adapt.storage.formats.stored_mask import COLOUR, INDEX, Kind

TOO_MANY = 4096  # colours; beyond, they are not told apart
# A value is an object's, not one of smooth edges, if so many of its pixels have equal neighbours on two sides, and so
# many of its contacts are with values other than the next smaller and larger ones, which edges always lie between.
FLAT, _SKIPPING = 0.25, 0.1
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

    @classmethod
    def of(cls, kind: Kind, values: np.ndarray, picture: int) -> "Tally":
        """Count a picture (H, W), by its number. Greys are in order of their size, the others line by line."""
        found, first, counts = _unique(values)
        order = np.argsort(first) if kind in (COLOUR, INDEX) else np.arange(len(found))
        corner = values[:-1, :-1]
        same = (corner == values[1:, :-1]) & (corner == values[:-1, 1:]) & (corner == values[1:, 1:])
        edges = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
        contacts: dict[int, int] = {}
        for one, other in ((values[:, :-1], values[:, 1:]), (values[:-1], values[1:])):
            differ = one != other
            pair = np.stack([one[differ], other[differ]]).astype(np.int64)
            _add(contacts, _counts(pair.min(axis=0) << _BITS | pair.max(axis=0)))
        return cls(
            kind,
            count=dict(zip(found[order].tolist(), counts[order].tolist(), strict=True)),
            areas=_counts(corner[same]),
            border=_counts(edges),
            contacts=contacts,
            first=dict.fromkeys(found[order].tolist(), picture),
        )

    def add(self, other: "Tally") -> None:
        """Add the counts of later pictures, as long as there are not too many values."""
        if len(self.count) > TOO_MANY:
            return
        _add(self.count, other.count)
        _add(self.areas, other.areas)
        _add(self.border, other.border)
        _add(self.contacts, other.contacts)
        for value, picture in other.first.items():
            self.first[value] = min(picture, self.first.get(value, picture))

    def mapped(self, kind: Kind, to: Mapping[int, int]) -> "Tally":
        """Return the tally of the same pictures, with every value replaced. Values that become equal are one."""
        new = Tally(kind)
        for mine, theirs in ((new.count, self.count), (new.areas, self.areas), (new.border, self.border)):
            for value, count in theirs.items():
                _add(mine, {to[value]: count})
        for pair, count in self.contacts.items():
            one, other = sorted((to[pair >> _BITS], to[pair & ((1 << _BITS) - 1)]))
            if one != other:
                _add(new.contacts, {one << _BITS | other: count})
        for value, picture in self.first.items():
            new.first[to[value]] = min(picture, new.first.get(to[value], picture))
        return new

    @property
    def values(self) -> list[int]:
        """The values but 0, in order of first appearance."""
        return [value for value in self.count if value]

    @property
    def behind(self) -> int:
        """The most frequent value on the frames' borders."""
        return max(self.border, key=lambda value: self.border[value])

    def is_flat(self, value: int) -> bool:
        """Return whether a value fills areas rather than lines and specks."""
        return self.areas.get(value, 0) >= FLAT * self.count[value]

    def between(self) -> set[int]:
        """Return the values that lie between the next smaller and the next larger value, as those of edges do."""
        rank = {value: place for place, value in enumerate(sorted({0, *self.count}))}
        all_, skipping = dict.fromkeys(rank, 0), dict.fromkeys(rank, 0)
        for pair, count in self.contacts.items():
            both = pair >> _BITS, pair & ((1 << _BITS) - 1)
            for value in both:
                all_[value] += count
                skipping[value] += count if abs(rank[both[0]] - rank[both[1]]) > 1 else 0
        return {value for value in rank if rank[value] > 1 and skipping[value] < _SKIPPING * all_[value]}

    def are_objects(self) -> bool:
        """Return whether every value but 0 fills areas and is no edge between two others."""
        between = self.between()
        return all(self.is_flat(value) and value not in between for value in self.values)

    def are_lines(self) -> bool:
        """Return whether most values but 0, and four at least, are lines and specks, as on slopes and in noise."""
        lines = [value for value in self.values if not self.is_flat(value)]
        return len(lines) >= 4 and 2 * len(lines) > len(self.values)


def _unique(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the values, the place of each one's first pixel, and their counts. Masks are few runs of equal values."""
    flat = values.ravel()
    starts = np.flatnonzero(np.concatenate([[flat.size > 0], flat[1:] != flat[:-1]]))
    found, first, which = np.unique(flat[starts], return_index=True, return_inverse=True)
    counts = np.bincount(which, np.diff(starts, append=flat.size), len(found)).astype(np.int64)
    return found, starts[first], counts


def _counts(values: np.ndarray) -> dict[int, int]:
    found, _, counts = _unique(values)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _add(totals: dict[int, int], counts: Mapping[int, int]) -> None:
    for value, count in counts.items():
        totals[value] = totals.get(value, 0) + count
