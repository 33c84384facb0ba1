"""The manifest: the one file that makes an artifact exist, and says everything about it."""

import importlib.metadata
import json
import platform
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from motion_adapt.storage.keys import Artifact, digest

FORMAT = 1
RECORDED_PACKAGES = (
    "motion-adapt",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "opencv-python-headless",
    "zarr",
)


class ArrayEntry(BaseModel):
    """One Zarr array of an artifact; `digest` is of its decoded values, row by row."""

    model_config = ConfigDict(frozen=True)

    shape: tuple[int, ...]
    dtype: str
    dims: tuple[str, ...]
    chunk_rows: int
    shard_rows: int
    digest: str


class FileEntry(BaseModel):
    """One file of an artifact as it lies in the store."""

    model_config = ConfigDict(frozen=True)

    size: int
    digest: str


class Manifest(BaseModel):
    """What an artifact is, what it was made of and by what.

    `summary` is part of the result (and of the digest); `made` tells of the circumstances (time, seconds,
    versions, threads) and is not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")  # or a damaged name could pass for a default

    format: int = FORMAT
    stage: str
    version: int
    key: str
    attempt: str
    settings: dict[str, Any]
    inputs: dict[str, Artifact]
    arrays: dict[str, ArrayEntry]
    files: dict[str, FileEntry]
    payload: dict[str, str] = Field(description="plain files that belong to the result: name -> SHA-256")
    summary: dict[str, Any]
    made: dict[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of the result alone: decoded arrays, plain files and the summary."""
        return digest(
            {
                "arrays": {
                    name: [list(entry.shape), entry.dtype, entry.digest]
                    for name, entry in self.arrays.items()
                },
                "payload": self.payload,
                "summary": self.summary,
            }
        )

    @property
    def artifact(self) -> Artifact:
        """The reference that tasks pass around."""
        return Artifact(stage=self.stage, key=self.key, attempt=self.attempt, digest=self.digest)

    def sealed(self) -> bytes:
        """The manifest as stored: JSON with a seal over all of it, so that no flipped byte goes unseen."""
        body = self.model_dump(mode="json")
        return Sealed(seal=digest(body), manifest=self).model_dump_json(indent=1).encode()


class Sealed(BaseModel):
    """A manifest and the SHA-256 over its JSON."""

    seal: str
    manifest: Manifest


def unseal(data: bytes) -> Manifest:
    """The manifest in `data`.

    Raises:
        ValueError: where the JSON is damaged, the seal does not fit, or the format is a later one.
    """
    found = json.loads(data)
    sealed = Sealed.model_validate(found)
    if sealed.seal != digest(found["manifest"]):  # not of the model, which would have to be dumped again
        raise ValueError("the manifest does not fit its seal")
    if sealed.manifest.format != FORMAT:
        raise ValueError(f"the manifest has format {sealed.manifest.format}; this version reads {FORMAT}")
    return sealed.manifest


def versions() -> dict[str, str]:
    """Versions of what made an artifact, for the record."""
    found = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
