"""The file of a training's state: at any moment, a kill or a full disk included, a whole one can be read."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class StateFile:
    """A state on disk, whole at any moment: written beside, synced, renamed; the last but one stays."""

    path: Path

    @property
    def previous(self) -> Path:
        """Where the state before the last one stays."""
        return self.path.with_name(self.path.name + ".previous")

    def write(self, state: dict[str, Any]) -> None:
        """Replace the state."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(self.path.name + ".partial")
        with beside.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        if self.path.exists():
            self.path.replace(self.previous)
        beside.replace(self.path)

    def read(self) -> dict[str, Any] | None:
        """The last state that can be read, None where there was none; ValueError where all are damaged."""
        damaged = []
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            try:
                state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:
                damaged.append(path)
                warnings.warn(
                    f"training state {path} is damaged ({error}); trying the one before", stacklevel=2
                )
            else:
                return state
        if damaged:
            names = " and ".join(str(path) for path in damaged)
            raise ValueError(f"training state: {names} cannot be read; delete to start anew")
        return None
