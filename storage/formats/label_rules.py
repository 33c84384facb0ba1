"""The rules that turn the values stored in masks into labels, decided over all masks of a clip.

    indices of a palette     labels; 255 is void, or, if there is nothing else, the one object
    greys of 8 or 16 bits    1 to 20 are labels; 255 (65535) in addition to them is void
                             a single value is the one object
                             a few values, each of areas: an object each, in order of first appearance
                             smooth edges, probabilities: the object is what exceeds half
    colours                  black is the background, or, if the caller says so, the colour of the frames' borders
                             greys alone are read as greys, DAVIS's colours as its labels
                             any others are an object each, in order of first appearance

`Legend.notes` puts into words what is not read as it is stored. What fits no rule is refused (`Legend.refusals`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, NamedTuple

import numpy as np

from motion_adapt.storage.formats.images import PictureError
from motion_adapt.storage.formats.label_tally import (
    COLOUR,
    GREY8,
    GREY_STEP,
    INDEX,
    TOO_MANY,
    TOP,
    Kind,
    Tally,
)
from motion_adapt.storage.names import some

Background = Literal["black", "border"]

VOID = 255
MAX_OBJECTS = 20  # the most that the DAVIS unsupervised protocol takes
MOST = 254  # labels of a map, apart from background and void
_THIN = 2  # colours that may be edges everywhere: objects of one pixel's width


@cache
def davis_palette() -> np.ndarray:
    """Return u8 (256, 3) RGB: a label's bits, from the lowest, go to red, green and blue in turn, highest first."""
    labels = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        palette[:, bit % 3] |= (((labels >> bit) & 1) << (7 - bit // 3)).astype(np.uint8)
    palette.setflags(write=False)
    return palette


class Note(NamedTuple):
    """A remark on values that are not read as they are stored, and the number of the first picture that has them."""

    text: str
    picture: int


@dataclass
class Legend:
    """The labels of a clip's values, by the kind of picture that stores them."""

    tables: dict[Kind, Mapping[int, int]] = field(default_factory=dict)
    halves: dict[Kind, float] = field(default_factory=dict)  # by kind that is cut: what the object exceeds
    colours_as: Kind = COLOUR  # GREY8: all colours are greys
    greys_as: Kind = GREY8  # COLOUR: so that they may have a background other than black
    transparency: bool = True
    notes: tuple[Note, ...] = ()
    refusals: dict[Kind, str] = field(default_factory=dict)

    def labels(self, kind: Kind, values: np.ndarray) -> np.ndarray:
        """Return the label map u8 (H, W) of a picture of the clip.

        Raises:
            PictureError: if the clip's masks fit no rule, or the picture was another one when they were looked at.
        """
        if kind == COLOUR != self.colours_as:
            kind, values = GREY8, values & 0xFF
        elif kind == GREY8 != self.greys_as:
            kind, values = COLOUR, values.astype(np.uint32) * GREY_STEP
        if kind in self.refusals:
            raise PictureError(self.refusals[kind])
        if kind in self.halves:
            return np.asarray(values > self.halves[kind], np.uint8)
        table = self.tables.get(kind, {})
        known = np.array(sorted({0: 0, **table}), np.int64)
        place = np.searchsorted(known, values).clip(max=len(known) - 1)
        if (known[place] != values).any():
            raise PictureError("changed while it was read; run again")
        return np.array([table.get(value, 0) for value in known.tolist()], np.uint8)[place]


def decide(tallies: Mapping[Kind, Tally], background: Background, *, transparency: bool = True) -> Legend:
    """Return the legend of a clip whose masks have these values."""
    legend, there = Legend(transparency=transparency), dict(tallies)
    if background == "border" and GREY8 in there:
        legend.greys_as = COLOUR
        turned = there.pop(GREY8).scaled(COLOUR, GREY_STEP)
        there[COLOUR] = there[COLOUR].joined(turned) if COLOUR in there else turned
    elif COLOUR in there and all(value % GREY_STEP == 0 for value in there[COLOUR].count):
        legend.colours_as = GREY8
        turned = there.pop(COLOUR).scaled(GREY8, 1 / GREY_STEP)
        there[GREY8] = there[GREY8].joined(turned) if GREY8 in there else turned
    exact = {
        kind: _colours(legend, tally, background) if kind == COLOUR else _numbers(legend, tally)
        for kind, tally in there.items()
        if tally.values or kind == COLOUR
    }
    if len(exact) > 1:
        _settle(legend, there, exact)
    return legend


def _settle(legend: Legend, tallies: Mapping[Kind, Tally], exact: Mapping[Kind, bool]) -> None:
    """Check that no label of one kind can mean another object in another kind."""
    labels = {kind: set(legend.tables.get(kind, {0: 0}).values()) for kind in exact}
    if not legend.halves and all(values <= {0, 1} for values in labels.values()):
        return  # one object throughout
    for kind in (kind for kind, as_stored in exact.items() if not as_stored):
        first = min(tallies[kind].first[value] for value in tallies[kind].values)
        if kind not in legend.halves and labels[kind] <= {0, 1}:
            legend.notes += (
                Note(
                    "has one value where other masks of the clip hold labels; it is taken as object 1", first
                ),
            )
        else:
            legend.refusals.setdefault(
                kind,
                "holds greys or colours of its own, and other masks of the clip are stored otherwise; store all alike",
            )


def _numbers(legend: Legend, tally: Tally) -> bool:
    """Enter the labels of indices or greys into the legend. Returns whether the labels are what is stored."""
    kind, values, top = tally.kind, tally.values, TOP[tally.kind]
    labels = [value for value in values if value not in (VOID, top)]
    ids = kind == INDEX or max(labels, default=0) <= MAX_OBJECTS
    if ids and (labels or not values):
        legend.tables[kind] = {value: VOID if value == top else value for value in values}
        return True
    if len(values) == 1:
        legend.tables[kind] = {values[0]: 1}
        if values[0] != top:
            legend.notes += (
                Note(f"has the value {values[0]}, taken as the one object", tally.first[values[0]]),
            )
        return False
    few = len(values) <= (MAX_OBJECTS if kind == GREY8 else MOST)
    if few and 0 in tally.count and all(tally.is_object(value) for value in values):
        legend.tables[kind] = {value: index for index, value in enumerate(values, start=1)}
        stored, last = "grey levels" if kind == GREY8 else "values", max(tally.first[v] for v in values)
        legend.notes += (Note(f"has the {stored} {_objects([str(value) for value in values])}", last),)
        return False
    half = top / 2 if max(values) > top / 2 else VOID / 2  # probabilities of 8 bits in 16
    if max(values) <= half or (half < top / 2 and max(values) > VOID):
        legend.refusals[kind] = (
            f"is one of the clip's masks, whose {len(values)} grey levels go up to {max(values)} of {top}: "
            f"neither labels (1 to {MAX_OBJECTS}) nor a mask to be cut at half; store them as indexed PNG"
        )
        return False
    legend.halves[kind] = half
    between = min(tally.first[value] for value in values if value != top)
    legend.notes += (
        Note("has grey levels between background and object; what exceeds half is the object", between),
    )
    return False


def _colours(legend: Legend, tally: Tally, background: Background) -> bool:
    """Enter the labels of colours into the legend. Returns whether they are those of DAVIS's palette."""
    behind = max(tally.border, key=lambda value: tally.border[value]) if background == "border" else 0
    colours = [value for value in tally.count if value != behind]
    edges = [value for value in colours if not tally.areas.get(value)]
    if len(colours) > MOST or len(edges) > _THIN:
        many = f"more than {TOO_MANY}" if len(tally.count) > TOO_MANY else len(colours)
        legend.refusals[COLOUR] = (
            f"is one of the clip's masks, which have {many} colours: an object wants one flat colour; store them "
            "without smooth edges, as PNG"
        )
        return False
    if behind not in tally.count:
        legend.refusals[COLOUR] = (
            "is one of the clip's masks, none of which has a black pixel, the background; if the background is the "
            "colour of the frames' borders, set mask_background=border (of evaluate: --background border)"
        )
        return False
    if behind:
        legend.notes += (
            Note(
                f"has the background {_rgb(behind)}, the most frequent colour on the clip's borders",
                tally.first[behind],
            ),
        )
    palette = {_number(colour): label for label, colour in enumerate(davis_palette().tolist())}
    known = {value: palette[value] for value in colours if value in palette}
    if (
        not behind
        and len(known) == len(colours)
        and all(v <= MAX_OBJECTS or v == VOID for v in known.values())
    ):
        legend.tables[COLOUR] = known
        return True
    legend.tables[COLOUR] = {behind: 0, **{value: index for index, value in enumerate(colours, start=1)}}
    if len(colours) > 1:
        last = max(tally.first[value] for value in colours)
        legend.notes += (Note(f"has the colours {_objects([_rgb(value) for value in colours])}", last),)
    return False


def _objects(values: list[str]) -> str:
    return f"{some(values)}; the clip's are taken as objects 1 to {len(values)} in order of first appearance"


def _number(colour: list[int]) -> int:
    red, green, blue = colour
    return red << 16 | green << 8 | blue


def _rgb(value: int) -> str:
    return str((value >> 16, value >> 8 & 0xFF, value & 0xFF))
