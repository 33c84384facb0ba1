"""Native frames of a clip, decoded from its source when they are read.

The store keeps no copy of them. It keeps a digest of every frame's pixels, taken when the clip was first decoded, and
no frame is returned that has other pixels.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from motion_adapt.storage.clips.find_clips import Clip, ClipError
from motion_adapt.storage.clips.videos import content_digest, decode_from
from motion_adapt.storage.names import printable

DIGEST_BYTES = 16
REMEDY = (
    "Its native frames are read from there: bring back the files as they were and run again. "
    "With frames.keep=native, the store keeps copies from the first run on."
)


class SourceLost(ClipError):
    """The source of a clip is gone, or no longer has the bytes from which the clip was first decoded."""


def frame_digest(frame: np.ndarray) -> bytes:
    """Return `DIGEST_BYTES` bytes that identify the pixels of a frame u8 (H', W', 3)."""
    return hashlib.sha256(np.ascontiguousarray(frame).data).digest()[:DIGEST_BYTES]


class SourceFrames:
    """The native frames u8 (T, H', W', 3) of a clip, indexed along time like a NumPy array.

    Reading in order decodes every frame once. A step back decodes a video from its beginning again; pictures are read
    in any order at the same cost. Threads may share an object; processes open their own.
    """

    def __init__(
        self,
        clip: Clip,
        *,
        shape: tuple[int, ...],
        digests: bytes,
        content: str,
        limit: int | None,
        damaged: Callable[[str], Exception],
    ) -> None:
        """Open nothing yet.

        Args:
            clip: the clip, wherever its files are now.
            shape: (T, H', W', 3).
            digests: `frame_digest` of every frame, one after the other.
            content: `content_digest` of the files from which the digests were taken.
            limit: number of frames that were decoded at most; None: all.
            damaged: makes the error for files that are unchanged, but decode to other pixels.
        """
        self.clip, self.shape = clip, shape
        self._digests, self._content, self._limit, self._damaged = digests, content, limit, damaged
        self._lock = threading.Lock()
        self._stream: Iterator[np.ndarray] = iter(())
        self._next = shape[0]  # index of the frame that the stream yields next

    @property
    def dtype(self) -> np.dtype:
        """NumPy dtype of the values."""
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | Sequence[int] | np.ndarray) -> np.ndarray:
        """Return frames by index, slice or list of indices (in the order given).

        Raises:
            SourceLost: if the files are gone, cannot be read or have changed.
            IndexError: if there is no such frame.
        """
        if isinstance(rows, int | np.integer):
            return self[[int(rows)]][0]
        wanted = np.arange(len(self))[rows if isinstance(rows, slice) else np.asarray(rows, np.int64)]
        order, where = np.unique(wanted, return_inverse=True)
        found = np.empty((len(order), *self.shape[1:]), np.uint8)
        with self._lock:
            for place, index in enumerate(order.tolist()):
                found[place] = self._frame(index)
        return found if np.array_equal(wanted, order) else found[where]

    def _frame(self, index: int) -> np.ndarray:
        if index < self._next or (index > self._next and self.clip.kind == "frames"):
            self._stream, self._next = decode_from(self.clip, index, limit=self._limit), index
        try:
            while True:
                frame = next(self._stream)
                self._next += 1
                if self._next > index:
                    break
        except (ClipError, StopIteration):
            raise self._fault(index) from None
        first = index * DIGEST_BYTES
        if (
            frame.shape != self.shape[1:]
            or frame_digest(frame) != self._digests[first : first + DIGEST_BYTES]
        ):
            raise self._fault(index)
        return frame

    def _fault(self, index: int) -> Exception:
        """Return the error for a frame that cannot be read as it was."""
        self._stream, self._next = iter(()), len(self)
        try:
            unchanged = content_digest(self.clip, limit=self._limit) == self._content
        except ClipError as error:
            return SourceLost(self.clip.name, f"{error.reason}. {REMEDY}")
        if not unchanged:
            changed = f"{printable(self.clip.path.name)} has changed since it was first decoded"
            return SourceLost(self.clip.name, f"{changed}. {REMEDY}")
        return self._damaged(
            f"frame {index} of {self.clip.name} decodes to other pixels than it did at first"
        )
