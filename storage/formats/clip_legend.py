"""Decide on the labels of a clip from a survey of all of its masks, so that no label means two objects."""

from collections.abc import Mapping

from motion_adapt.storage.formats.label_rules import Background, colours, numbers
from motion_adapt.storage.formats.label_tally import Tally
from motion_adapt.storage.formats.legend import Legend
from motion_adapt.storage.formats.mask_survey import Survey
from motion_adapt.storage.formats.palette_rules import decide_indices
from motion_adapt.storage.formats.stored_mask import COLOUR, GREY8, GREY_STEP, INDEX, Kind


def decide(survey: Survey, background: Background) -> Legend:
    """Return the legend of a clip."""
    legend, there = Legend(opacity=survey.opacity), dict(survey.tallies[survey.opacity])
    if survey.indices.count:
        decide_indices(legend, survey.indices, survey.palettes, background)
        if legend.indices_as == COLOUR:
            for tally in survey.coloured[survey.opacity].values():
                _merge(there, tally)
        else:
            there[INDEX] = survey.indices
    if background == "border" and GREY8 in there:
        legend.greys_as = COLOUR
        grey = there.pop(GREY8)
        _merge(there, grey.mapped(COLOUR, {value: value * GREY_STEP for value in grey.count}))
    elif COLOUR in there and all(value % GREY_STEP == 0 for value in there[COLOUR].count):
        legend.colours_as = GREY8
        colour = there.pop(COLOUR)
        _merge(there, colour.mapped(GREY8, {value: value // GREY_STEP for value in colour.count}))
    exact = {
        kind: colours(legend, tally, background) if kind == COLOUR else numbers(legend, tally)
        for kind, tally in there.items()
        if (tally.values or kind == COLOUR) and kind not in legend.refusals
    }
    if len(exact) > 1:
        _settle(legend, there, exact)
    _remark(legend, survey, there)
    return legend


def _merge(there: dict[Kind, Tally], tally: Tally) -> None:
    there.setdefault(tally.kind, Tally(tally.kind)).add(tally)


def _settle(legend: Legend, tallies: Mapping[Kind, Tally], exact: Mapping[Kind, bool]) -> None:
    """Check that no label of one kind can mean another object in another kind."""
    labels = {kind: set(legend.tables.get(kind, {0: 0}).values()) for kind in exact}
    if all(values <= {0, 1} for values in labels.values()):
        return  # one object throughout
    for kind in (kind for kind, as_stored in exact.items() if not as_stored):
        first = min(tallies[kind].first[value] for value in tallies[kind].values)
        if kind not in legend.halves and labels[kind] <= {0, 1}:
            legend.note(
                "has one value where other masks of the clip hold labels; it is taken as object 1", first
            )
        else:
            legend.refusals.setdefault(
                kind,
                "holds greys or colours of its own, and other masks of the clip are stored otherwise; store all alike",
            )


def _remark(legend: Legend, survey: Survey, there: Mapping[Kind, Tally]) -> None:
    """Note what the pictures have in addition to values."""
    firsts = survey.firsts
    if "turned" in firsts:
        legend.note("is to be turned by its EXIF orientation, which is ignored", firsts["turned"])
    if legend.opacity != "hides" or set(there) <= {INDEX}:
        return
    if "half clear" in firsts:
        legend.note(
            "has half-transparent pixels; those that are at least half opaque are read as if they were opaque, the "
            "others as background",
            firsts["half clear"],
        )
    if "opaque black" in firsts:
        legend.note("has both black and transparent pixels; both are background", firsts["opaque black"])
