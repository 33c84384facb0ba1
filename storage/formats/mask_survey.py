"""Look once at all masks of a clip, and count what the rules need to know. Every mask is decoded once."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from motion_adapt.storage.formats.label_tally import Tally
from motion_adapt.storage.formats.stored_mask import COLOUR, GREY8, INDEX, Kind, Palette, Stored

# What opacity means in a clip: it is the mask, it says what is background, or nothing as all is transparent.
Opacity = Literal["mask", "hides", "nothing"]
MEANINGS: tuple[Opacity, ...] = ("mask", "hides", "nothing")
_HALF = 127


def seen(
    kind: Kind, values: np.ndarray, opacity: np.ndarray | None, meaning: Opacity
) -> tuple[Kind, np.ndarray]:
    """Return the kind and the values of a mask, or of some of its pixels, if opacity has this meaning."""
    if opacity is None or meaning == "nothing":
        return kind, values
    if meaning == "mask":
        return GREY8, opacity
    return kind, np.where(opacity > _HALF, values, values.dtype.type(0))


@dataclass
class Palettes:
    """The colours of the indices that are used in a clip.

    Attributes:
        colours: colours of each index.
        indices: indices of each colour.
        doubled: colours that several indices of one picture have.
        clear: indices that are transparent.
        zero: colours of index 0, whether or not a pixel has it.
        clear_zero: whether index 0 is transparent.
        moved: the first picture whose palette contradicts the ones before, or None.
    """

    colours: dict[int, set[int]] = field(default_factory=dict)
    indices: dict[int, set[int]] = field(default_factory=dict)
    doubled: set[int] = field(default_factory=set)
    clear: set[int] = field(default_factory=set)
    zero: set[int] = field(default_factory=set)
    clear_zero: bool = False
    moved: int | None = None

    def add(self, used: list[int], colours: np.ndarray, opacity: np.ndarray, picture: int) -> None:
        """Add the palette of a picture that uses these indices."""
        shown = [colours[index].item() for index in used]
        self.doubled |= {colour for colour in shown if shown.count(colour) > 1}
        self.clear |= {index for index in used if opacity[index] <= _HALF}
        self.zero.add(colours[0].item())
        self.clear_zero = self.clear_zero or bool(opacity[0] <= _HALF)
        for index, colour in zip(used, shown, strict=True):
            self.colours.setdefault(index, set()).add(colour)
            self.indices.setdefault(colour, set()).add(index)
            agree = len(self.colours[index]) == 1 and (
                len(self.indices[colour]) == 1 or colour in self.doubled
            )
            if not agree and self.moved is None:
                self.moved = picture


@dataclass
class Survey:
    """What the masks of a clip hold.

    Attributes:
        tallies: counts by kind, for each meaning of opacity, of all masks but indexed ones.
        indices: counts of the indices of indexed masks.
        coloured: counts of the colours of indexed masks, as `tallies`.
        palettes: the palettes of indexed masks.
        firsts: the first picture of which something is true.
    """

    tallies: dict[Opacity, dict[Kind, Tally]] = field(default_factory=lambda: {m: {} for m in MEANINGS})
    indices: Tally = field(default_factory=lambda: Tally(INDEX))
    coloured: dict[Opacity, dict[Kind, Tally]] = field(default_factory=lambda: {m: {} for m in MEANINGS})
    palettes: Palettes = field(default_factory=Palettes)
    firsts: dict[str, int] = field(default_factory=dict)

    def add(self, stored: Stored, picture: int) -> None:
        """Count one mask, by its number."""
        if stored.orientation != 1:
            self.firsts.setdefault("turned", picture)
        if stored.palette is None:
            for meaning, tally in _by_meaning(stored, picture):
                self.tallies[meaning].setdefault(tally.kind, Tally(tally.kind)).add(tally)
            values, opacity = stored.values, stored.opacity
        else:
            values, opacity = self._add_indices(stored.values, stored.palette, picture)
        if opacity is not None:
            self._look_through(values, opacity, picture)

    def _add_indices(
        self, values: np.ndarray, palette: Palette, picture: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Count indices and their colours. Returns colours and opacity of those that are used, (n,) each."""
        counted = Tally.of(INDEX, values, picture)
        self.indices.add(counted)
        used = list(counted.count)
        colours, opacity = palette
        self.palettes.add(used, colours, opacity, picture)
        for meaning in MEANINGS:
            kind, shown = seen(COLOUR, colours[used], opacity[used], meaning)
            tally = counted.mapped(kind, dict(zip(used, shown.tolist(), strict=True)))
            self.coloured[meaning].setdefault(kind, Tally(kind)).add(tally)
        return colours[used], opacity[used]

    def _look_through(self, values: np.ndarray, opacity: np.ndarray, picture: int) -> None:
        opaque = opacity > _HALF
        for name, found in (
            ("opaque", opaque.any()),
            ("opaque colours", values[opaque].any()),
            ("opaque black", (values[opaque] == 0).any()),
            ("clear", not opaque.all()),
            ("half clear", ((opacity > 0) & ~opaque).any()),
        ):
            if found:
                self.firsts.setdefault(name, picture)

    @property
    def opacity(self) -> Opacity:
        """What opacity means: a clip whose opaque pixels are all black has its mask there."""
        if "clear" not in self.firsts or "opaque" not in self.firsts:
            return "nothing"
        return "hides" if "opaque colours" in self.firsts else "mask"


def _by_meaning(stored: Stored, picture: int) -> Iterator[tuple[Opacity, Tally]]:
    """Yield the counts of one mask for each meaning of opacity; the same ones if it says nothing about it."""
    tally = Tally.of(stored.kind, stored.values, picture) if stored.opacity is None else None
    for meaning in MEANINGS:
        yield meaning, tally or Tally.of(*seen(stored.kind, stored.values, stored.opacity, meaning), picture)
