"""Ready-made masks of a clip, read frame by frame and checked: of another model, or of a person."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from motion_adapt.storage.clips.find_clips import ClipError
from motion_adapt.storage.formats.label_maps import ClipMasks
from motion_adapt.storage.formats.label_rules import Background
from motion_adapt.storage.formats.masks import mask_files, masks_content, read_masks
from motion_adapt.storage.names import printable
from motion_adapt.tasks.runtime.progress import track


class ReadyMade:
    """The label maps of a clip's masks `<folder>/<clip>/<frame>.png`.

    Args:
        folder: the folder with one folder of masks per clip.
        clip: the clip's name.
        names: names of its frames.
        background: the colour behind objects that are stored in colours.
        content: digest of the masks' bytes.
        size: height and width of the frames.
    """

    def __init__(
        self,
        folder: str,
        clip: str,
        names: tuple[str, ...],
        *,
        background: Background,
        content: str,
        size: tuple[int, int],
    ) -> None:
        self.folder, self.clip, self.names, self.content, self.size = folder, clip, names, content, size
        self.masks = ClipMasks(mask_files(Path(folder), clip, names), background)

    def read(self, doing: str) -> Iterator[np.ndarray]:
        """Yield the label map u8 (H', W') of each frame; `doing` heads the progress bar.

        Raises:
            ValueError: if a mask is missing, damaged, no mask, or of another size than its frame.
            ClipError: at the end, if the masks no longer have the digest `content`.
        """
        with track(len(self.names), f"{doing} of {self.clip}") as advance:
            for name, labels in zip(self.names, read_masks(self.masks), strict=True):
                if labels.shape != self.size:
                    got, wanted = labels.shape[::-1], self.size[::-1]
                    raise ValueError(f"{name}.png is {got[0]}x{got[1]}, its frame is {wanted[0]}x{wanted[1]}")
                yield labels
                advance(1)
        if masks_content(Path(self.folder), self.clip, self.names) != self.content:
            raise ClipError(
                self.clip, f"its masks in {printable(self.folder)} changed while they were read; run again"
            )

    def notes(self) -> list[str]:
        """Return a note for each file that is not read as it is stored."""
        return [f"{printable(path.name)} {text}" for path, text in self.masks.notes]
