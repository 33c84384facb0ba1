"""The one decoder of masks that come in: annotations, predictions and ready-made proposals.

A label map is u8 (H, W): 0 background, 1, 2, ... objects, 255 void. Which of a picture's values is which label is
decided once for all masks of a clip (`storage.formats.label_rules`), so that an object has one label throughout.
"""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from motion_adapt.storage.formats.clip_legend import decide
from motion_adapt.storage.formats.images import PictureError
from motion_adapt.storage.formats.label_rules import Background
from motion_adapt.storage.formats.legend import Legend
from motion_adapt.storage.formats.mask_survey import Survey
from motion_adapt.storage.formats.stored_mask import Stored, stored_mask


class ClipMasks:
    """The masks of one clip, unopened: the first `read` looks at all of them, the others at one."""

    def __init__(self, paths: Sequence[Path], background: Background = "black") -> None:
        self.paths, self.background = tuple(paths), background
        self._looked_at: dict[Path, tuple[int, int]] = {}  # as they were when all were looked at

    def read(self, path: Path) -> np.ndarray:
        """Read the label map u8 (H, W) of one of the files.

        Raises:
            PictureError: if it is damaged or no mask, or the clip's masks fit no rule.
        """
        return self.labels(path, stored_mask(path))

    def labels(self, path: Path, stored: Stored) -> np.ndarray:
        """Return the label map u8 (H, W) of one of the files, which has been decoded.

        Raises:
            PictureError: if the clip's masks fit no rule.
        """
        now = _signature(path)
        if self._looked_at.get(path, now) != now:
            vars(self).pop("_legend", None)  # it was replaced: all are looked at anew
        return self._legend.labels(stored)

    @property
    def notes(self) -> tuple[tuple[Path, str], ...]:
        """Whatever is not read as it is stored: the first file that shows it, and words about it."""
        return tuple((self.paths[note.picture], note.text) for note in self._legend.notes)

    @cached_property
    def _legend(self) -> Legend:
        self._looked_at = {path: _signature(path) for path in self.paths}
        return _legend(tuple((path, *state) for path, state in self._looked_at.items()), self.background)


@lru_cache(maxsize=256)
def _legend(files: tuple[tuple[Path, int, int], ...], background: Background) -> Legend:
    """Look at all masks of a clip. Those that can't be read have no say: `ClipMasks.read` refuses them."""
    survey = Survey()
    for number, (path, *_) in enumerate(files):
        try:
            stored = stored_mask(path)
        except PictureError:
            continue
        survey.add(stored, number)
    return decide(survey, background)


def _signature(path: Path) -> tuple[int, int]:
    """Return a file's time of change and size, which tell it from an earlier file in its place."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
