"""The rules that turn the values stored in the masks of a clip into labels.

    indices of a palette     labels, unless `storage.formats.palette_rules` finds that the colours tell objects apart
                             255 is void, or, if there is nothing else, the one object
    greys of 8 or 16 bits    1 to 20 are labels; 255 (65535) in addition to them is void
                             a single value is the one object
                             a few values, each of areas: an object each, in order of first appearance
                             smooth edges, probabilities: the object is what exceeds half
    greys of lossy pictures  two values, black and white: the object is what exceeds half
    colours                  black is the background, or, if the caller says so, the colour of the frames' borders
                             greys alone are read as greys, DAVIS's colours as its labels
                             any others are an object each, in order of first appearance

`Legend.notes` puts into words what is not read as it is stored. What fits no rule is refused (`Legend.refusals`).
`storage.formats.clip_legend` applies them.
"""

from functools import cache
from itertools import combinations
from typing import Literal

import numpy as np

from motion_adapt.storage.formats.label_tally import TOO_MANY, Tally
from motion_adapt.storage.formats.legend import Legend
from motion_adapt.storage.formats.stored_mask import COLOUR, GREY8, INDEX, LOSSY, TOP, packed
from motion_adapt.storage.names import some

Background = Literal["black", "border"]

VOID = 255
MAX_OBJECTS = 20  # the most that the DAVIS unsupervised protocol takes
MOST = 254  # labels of a map, apart from background and void
_THIN = 2  # colours that may be edges everywhere: objects of one pixel's width
# Areas of one value between black and white are edges and noise if they are less than this share of the object. Beside
# black and white, WebP and AVIF leave more: up to 0.3 of DAVIS's objects.
_PLATEAU, _BESIDE, _NEAR = 0.05, 0.5, 3
_BLEND = 2  # the most that a channel of a smooth edge's colour is off the line between the two colours
_CUT = "has grey levels between background and object; what exceeds half is the object"
_BORDER = "if that is the background, set mask_background=border (of evaluate: --background border)"


@cache
def davis_palette() -> np.ndarray:
    """Return u8 (256, 3) RGB: a label's bits, from the lowest, go to red, green and blue in turn, highest first."""
    labels = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        palette[:, bit % 3] |= (((labels >> bit) & 1) << (7 - bit // 3)).astype(np.uint8)
    palette.setflags(write=False)
    return palette


@cache
def davis_colours() -> dict[int, int]:
    """Return the colours of DAVIS's palette by label, as 0xRRGGBB."""
    return dict(enumerate(packed(davis_palette()).tolist()))


def numbers(legend: Legend, tally: Tally) -> bool:
    """Enter the labels of indices or greys into the legend. Returns whether the labels are what is stored."""
    kind, values, top = tally.kind, tally.values, TOP[tally.kind]
    if kind == LOSSY:
        return _halves(legend, tally, lossy=True)
    labels = [value for value in values if value not in (VOID, top)]
    ids = kind == INDEX or (max(labels, default=0) <= MAX_OBJECTS and not tally.are_lines())
    if kind != INDEX and 0 not in tally.count and len(values) > len(labels):
        ids = False  # white can't be void around labels if nothing is background
    if ids and (labels or not values):
        legend.tables[kind] = {value: VOID if value == top else value for value in values}
        _doubts(legend, tally, labels)
        return True
    if len(values) == 1:
        legend.tables[kind] = {values[0]: 1}
        if values[0] != top:
            legend.note(f"has the value {values[0]}, taken as the one object", tally.first[values[0]])
        _outside(legend, tally)
        return False
    few = len(values) <= (MAX_OBJECTS if kind == GREY8 else MOST)
    if few and 0 in tally.count and tally.are_objects():
        legend.tables[kind] = {value: index for index, value in enumerate(values, start=1)}
        stored = "grey levels" if kind == GREY8 else "values"
        legend.note(f"has the {stored} {_objects([str(value) for value in values])}", _last(tally, values))
        _outside(legend, tally)
        return False
    return _halves(legend, tally)


def _halves(legend: Legend, tally: Tally, *, lossy: bool = False) -> bool:
    """Cut smooth edges and probabilities at half. Returns False: the labels are not what is stored."""
    kind, values, top = tally.kind, tally.values, TOP[tally.kind]
    half = top / 2 if max(values) > top / 2 else VOID / 2  # probabilities of 8 bits in 16
    found = ""
    if max(values) <= half or (half < top / 2 and max(values) > VOID):
        found = f"go up to {max(values)} of {top}"
    elif min(tally.count) > half:
        found = f"are {min(tally.count)} to {max(values)} of {top}, none of them the background's"
    elif _has_plateau(tally, half, lossy=lossy):
        found = "have areas of their own between black and white"
    if found:
        why = (
            "labels do not survive being stored with loss, and this is no mask in black and white"
            if lossy
            else f"neither labels (1 to {MAX_OBJECTS}) nor a mask to be cut at half"
        )
        legend.refusals[kind] = (
            f"is one of the clip's masks, whose grey levels {found}: {why}; store them as indexed PNG"
        )
        return False
    legend.halves[kind] = half
    soft = [value for value in values if value != top] or values
    if len(tally.count) > 2 or set(tally.count) - {0, top}:
        legend.note(_CUT, min(tally.first[value] for value in soft))
    _outside(legend, tally)
    return False


def _has_plateau(tally: Tally, half: float, *, lossy: bool) -> bool:
    """Return whether a value between black and white fills areas, as an object would, not an edge."""
    top, object_ = TOP[tally.kind], sum(count for value, count in tally.count.items() if value > half)
    between = range(1, top) if lossy else range(top // 4, 3 * top // 4)
    return any(
        tally.is_flat(value)
        and tally.areas[value] > object_ * (_PLATEAU if _NEAR <= value <= top - _NEAR else _BESIDE)
        for value in tally.values
        if value in between
    )


def colours(legend: Legend, tally: Tally, background: Background) -> bool:
    """Enter the labels of colours into the legend. Returns whether they are those of DAVIS's palette."""
    behind = tally.behind if background == "border" else 0
    objects = [value for value in tally.count if value != behind]
    edges = [value for value in objects if not tally.is_flat(value)]
    flat = [value for value in tally.count if value not in edges]
    if len(objects) > MOST or len(edges) > _THIN or any(_is_blend(value, flat) for value in edges):
        many = f"more than {TOO_MANY}" if len(tally.count) > TOO_MANY else len(objects)
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
        legend.note(
            f"has the background {rgb_text(behind)}, the most frequent colour on the clip's borders",
            tally.first[behind],
        )
    else:
        _outside(legend, tally)
    palette = {colour: label for label, colour in davis_colours().items()}
    known = {value: palette[value] for value in objects if value in palette}
    if (
        not behind
        and len(known) == len(objects)
        and all(v <= MAX_OBJECTS or v == VOID for v in known.values())
    ):
        legend.tables[COLOUR] = known
        return True
    legend.tables[COLOUR] = {behind: 0, **{value: index for index, value in enumerate(objects, start=1)}}
    if len(objects) > 1:
        legend.note(
            f"has the colours {_objects([rgb_text(value) for value in objects])}", _last(tally, objects)
        )
    return False


def _is_blend(value: int, flat: list[int]) -> bool:
    """Return whether a colour lies between two colours of areas, as that of a smooth edge does."""
    if value in davis_colours().values() or len(flat) > MAX_OBJECTS:
        return False
    colour, *ends = (np.array([v >> 16, v >> 8 & 0xFF, v & 0xFF], float) for v in (value, *flat))
    for one, other in combinations(ends, 2):
        along = other - one
        share = float((colour - one) @ along / (along @ along))
        if 0 < share < 1 and np.abs(one + share * along - colour).max() <= _BLEND:
            return True
    return False


def _doubts(legend: Legend, tally: Tally, labels: list[int]) -> None:
    """Note labels that are read as they are stored but may be something else."""
    if max(labels, default=0) > MAX_OBJECTS:
        beyond = [value for value in labels if value > MAX_OBJECTS]
        legend.note(
            f"has the indices {some([str(value) for value in beyond])}, which are read as labels; if they are grey "
            "levels, store the masks as grey pictures",
            tally.first[beyond[0]],
        )
    lines = [value for value in labels if tally.kind != INDEX and not tally.is_flat(value)]
    if lines:
        legend.note(
            f"has the labels {some([str(value) for value in lines])} in lines and specks alone; if these are smooth "
            "edges, store the masks without them",
            _last(tally, lines),
        )
    if tally.kind != INDEX and 0 not in tally.count:
        legend.note("has no pixel of value 0, nor has any mask of the clip: nothing is background", 0)


def _outside(legend: Legend, tally: Tally) -> None:
    """Note a clip that has background, but one object on most of its borders."""
    half = legend.halves.get(tally.kind, 0)
    whole = [sum(count for value, count in tally.border.items() if value > half)]
    objects = whole if half else [count for value, count in tally.border.items() if value]
    if 2 * max(objects, default=0) > sum(tally.border.values()) and min(tally.count) <= half:
        legend.note(f"has an object on most of the clip's borders; {_BORDER}", 0)


def _objects(values: list[str]) -> str:
    return f"{some(values)}; the clip's are taken as objects 1 to {len(values)} in order of first appearance"


def _last(tally: Tally, values: list[int]) -> int:
    return max(tally.first[value] for value in values)


def rgb_text(value: int) -> str:
    """Return a colour 0xRRGGBB as '(red, green, blue)'."""
    return str((value >> 16, value >> 8 & 0xFF, value & 0xFF))
