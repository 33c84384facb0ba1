"""Keys of artifacts: computed from an artifact's inputs, never from when or where it was computed.

    key = digest(stage, stage version, the settings that the stage reads, keys of its inputs)

Everything here is pure. Python's `hash()` is never used, because it differs from process to process.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

KEY_LENGTH = 32  # hex digits, 128 bits


class Artifact(BaseModel):
    """A reference to one published artifact: small, JSON-able, and all that tasks pass around.

    `key` identifies the recipe, `attempt` the write that was published, and `digest` (SHA-256, hex) the result.
    """

    model_config = ConfigDict(frozen=True)

    stage: str
    key: str
    attempt: str
    digest: str

    def __str__(self) -> str:
        return f"{self.stage}/{self.key}"


@dataclass(frozen=True)
class Recipe:
    """The stage, settings and inputs of one artifact: enough to compute its key before it exists."""

    stage: str
    version: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Artifact] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The key, 32 hex digits."""
        return digest(
            {
                "stage": self.stage,
                "version": self.version,
                "settings": self.settings,
                "inputs": {name: [ref.stage, ref.key] for name, ref in self.inputs.items()},
            }
        )[:KEY_LENGTH]

    @property
    def input_digests(self) -> dict[str, str]:
        """Digests of the inputs, by input name. A stored artifact counts as a hit only if it has the same ones."""
        return {name: ref.digest for name, ref in self.inputs.items()}


def digest(value: Any) -> str:
    """Return the SHA-256 (hex) of a JSON-able value, the same in every process and on every machine.

    Pydantic models, paths and tuples are accepted. Sets, arrays and other objects are refused, because their text
    depends on the process.
    """
    text = json.dumps(
        jsonable(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def jsonable(value: Any) -> Any:
    """Convert `value` to plain JSON types.

    Raises:
        TypeError: if a type's text differs between processes (sets, arrays, arbitrary objects).
        ValueError: if a number is NaN or infinite.
    """
    if isinstance(value, BaseModel):
        return jsonable(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError(
                f"only text can name a setting, got {[n for n in value if not isinstance(n, str)]}"
            )
        return {name: jsonable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot be part of a key")
        return value
    raise TypeError(f"{type(value).__name__} cannot be part of a key: {value!r:.80}")


def file_digest(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
