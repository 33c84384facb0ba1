"""The labels of the values in a clip's masks, as the rules of `storage.formats.label_rules` decide them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from motion_adapt.storage.formats.images import PictureError
from motion_adapt.storage.formats.mask_survey import Opacity, seen
from motion_adapt.storage.formats.stored_mask import COLOUR, GREY8, GREY_STEP, INDEX, Kind, Stored

_CHANGED = "changed while it was read; run again"


class Note(NamedTuple):
    """A remark on values that are not read as they are stored, and the number of the first picture that has them."""

    text: str
    picture: int


@dataclass
class Legend:
    """The labels of a clip's values, by the kind of picture that stores them.

    Attributes:
        tables: labels by value.
        halves: by kind that is cut: what the object exceeds.
        indices_as: COLOUR: the colours of the palettes are read.
        colours_as: GREY8: all colours are greys.
        greys_as: COLOUR: greys may have a background other than black.
        opacity: what opacity means.
        notes: whatever is not read as it is stored, and doubts about what is.
        refusals: why a kind can't be read.
    """

    tables: dict[Kind, Mapping[int, int]] = field(default_factory=dict)
    halves: dict[Kind, float] = field(default_factory=dict)
    indices_as: Kind = INDEX
    colours_as: Kind = COLOUR
    greys_as: Kind = GREY8
    opacity: Opacity = "nothing"
    notes: tuple[Note, ...] = ()
    refusals: dict[Kind, str] = field(default_factory=dict)

    def note(self, text: str, picture: int) -> None:
        """Add a note."""
        self.notes += (Note(text, picture),)

    def labels(self, stored: Stored) -> np.ndarray:
        """Return the label map u8 (H, W) of a picture of the clip.

        Raises:
            PictureError: if the clip's masks fit no rule, or the picture was another one when they were looked at.
        """
        if self.indices_as == COLOUR:
            stored = stored.coloured()
        kind, values = seen(stored.kind, stored.values, stored.opacity, self.opacity)
        if kind == COLOUR != self.colours_as:
            kind, values = GREY8, values & 0xFF
        elif kind == GREY8 != self.greys_as:
            kind, values = COLOUR, values.astype(np.uint32) * GREY_STEP
        if kind in self.refusals:
            raise PictureError(self.refusals[kind])
        if kind in self.halves:
            return np.asarray(values > self.halves[kind], np.uint8)
        return _looked_up(self.tables.get(kind, {}), values)


def _looked_up(table: Mapping[int, int], values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        if not np.isin(np.flatnonzero(np.bincount(values.ravel(), minlength=256)), [0, *table]).all():
            raise PictureError(_CHANGED)
        return np.array([table.get(value, 0) for value in range(256)], np.uint8)[values]
    known = np.array(sorted({0: 0, **table}), np.int64)
    place = np.searchsorted(known, values).clip(max=len(known) - 1)
    if (known[place] != values).any():
        raise PictureError(_CHANGED)
    return np.array([table.get(value, 0) for value in known.tolist()], np.uint8)[place]
