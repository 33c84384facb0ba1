"""The file of a training's state. A complete state can be read at any time, even after a kill or with a full disk.

A state ends in a seal, the SHA-256 of everything before it: PyTorch's own format does not detect a flipped byte.
"""

import hashlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

_MARK = b"motion-adapt-seal"
_SEAL = hashlib.sha256().digest_size + len(_MARK)  # bytes of the digest and of the mark after it


@dataclass(frozen=True)
class StateFile:
    """A state on disk that is complete at any time: it is written to a temporary file, synced, then renamed.

    The last state but one is kept as well.
    """

    path: Path

    @property
    def previous(self) -> Path:
        """The file of the last state but one."""
        return self.path.with_name(self.path.name + ".previous")

    def write(self, state: dict[str, Any]) -> None:
        """Replace the state."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(self.path.name + ".partial")
        with partial.open("w+b") as file:
            torch.save(state, file)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").digest()
            file.seek(0, os.SEEK_END)
            file.write(digest + _MARK)
            file.flush()
            os.fsync(file.fileno())
        if self.path.exists():
            self.path.replace(self.previous)
        partial.replace(self.path)

    def read(self) -> dict[str, Any] | None:
        """Return the latest undamaged state, or None if there is none. Warns of damaged files."""
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            if what := fault(path):
                warnings.warn(f"training state {path} is damaged: {what}; it is not used", stacklevel=2)
                continue
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        return None

    def faults(self) -> dict[Path, str]:
        """Return the damaged files of this state, each with a description of the damage."""
        found = {path: fault(path) for path in (self.path, self.previous) if path.exists()}
        return {path: what for path, what in found.items() if what}


def fault(path: Path) -> str | None:
    """Describe the damage of a state's file, or return None if it is undamaged."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _SEAL))
        digest, mark = file.read(_SEAL - len(_MARK)), file.read()
        if mark != _MARK:
            return "its seal is missing: it was truncated or changed"
        return (
            None if _digest(file, size - _SEAL) == digest else "its bytes differ from those that were written"
        )


def _digest(file: Any, count: int) -> bytes:
    """Return the SHA-256 of the first `count` bytes of an open file."""
    file.seek(0)
    sha = hashlib.sha256()
    while count:
        piece = file.read(min(count, 2**20))
        sha.update(piece)
        count -= len(piece)
    return sha.digest()
