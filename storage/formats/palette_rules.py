"""Decide what tells the objects of indexed masks apart: the indices, or the colours that the palettes give to them.

    more than 20 indices, most in lines          refused: grey levels
    an index has several colours in a clip,      colours: a program has sorted the palettes, picture by picture
    or a colour several indices
    most of the borders is transparent,          colours: what is transparent is background
    at another index than 0
    DAVIS's palette                              indices
    DAVIS's colours in another order             colours
    index 0 is used, and black or transparent    indices; if most of the borders is another index, with a note
    most of the borders is index 0               indices
    most of the borders is black                 colours
    anything else                                refused, since any colour may be the background

If the caller says that the colour of the borders is the background, colours are read in the last case, and if most of
the borders is another index than a black or transparent 0.
"""

from typing import Literal

from motion_adapt.storage.formats.label_rules import MAX_OBJECTS, VOID, Background, davis_colours, rgb_text
from motion_adapt.storage.formats.label_tally import Tally
from motion_adapt.storage.formats.legend import Legend
from motion_adapt.storage.formats.mask_survey import Palettes
from motion_adapt.storage.formats.stored_mask import COLOUR, INDEX
from motion_adapt.storage.names import some


def decide_indices(legend: Legend, tally: Tally, palettes: Palettes, background: Background) -> None:
    """Enter into the legend what the indices of a clip are read as, or why they can't be read."""
    if len(tally.values) > MAX_OBJECTS and tally.are_lines():
        legend.refusals[INDEX] = (
            f"is one of the clip's masks, which use {len(tally.values)} indices, most of them in lines and specks: "
            "these are grey levels, not labels; store grey levels as a grey picture, labels as indexed PNG"
        )
    elif _carried_by(legend, tally, palettes, background) == "colours":
        legend.indices_as = COLOUR


def _carried_by(
    legend: Legend, tally: Tally, palettes: Palettes, background: Background
) -> Literal["indices", "colours"]:
    if palettes.moved is not None:
        legend.note(
            "has a palette in another order than masks before it; colours, not indices, tell the objects apart",
            palettes.moved,
        )
        return "colours"
    most = tally.behind
    (behind,) = palettes.colours[most]
    if most and most in palettes.clear:
        return "colours"
    if clear := sorted(palettes.clear - {0}):
        named = some([str(index) for index in clear])
        legend.note(f"is transparent at indices that are read as labels ({named})", tally.first[clear[0]])
    if all(colours <= {davis_colours().get(index)} for index, colours in palettes.colours.items()):
        return "indices"
    labels = {colour for label, colour in davis_colours().items() if label <= MAX_OBJECTS or label == VOID}
    if palettes.indices.keys() <= labels and not palettes.doubled:
        legend.note("has DAVIS's colours at other indices than their labels; the colours are read", 0)
        return "colours"
    if (palettes.zero == {0} or palettes.clear_zero) and (
        not most or 0 in tally.count or background == "border"
    ):
        if most and background == "border":
            return "colours"
        if most:
            legend.note(
                f"has label {most}, {rgb_text(behind)}, on most of the clip's borders; if that is the background, "
                "set mask_background=border (of evaluate: --background border)",
                tally.first[most],
            )
        return "indices"
    if not most:
        if 0 in palettes.indices:
            black = min(palettes.indices[0])
            legend.note(
                f"has the background {rgb_text(behind)}, index 0; black is label {black}", tally.first[black]
            )
        return "indices"
    if not behind or background == "border":
        return "colours"
    legend.refusals[INDEX] = (
        f"is one of the clip's masks, whose borders are mostly {rgb_text(behind)}, index {most}, while index 0 is "
        f"{rgb_text(min(palettes.zero))}: wanted a background that is index 0, or black; if it is the colour of the "
        "borders, set mask_background=border (of evaluate: --background border)"
    )
    return "indices"
