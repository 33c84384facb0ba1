"""The manifest: the one file whose presence means that an artifact exists, and which describes all of it."""

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from functools import cache
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
    """One array of an artifact; `digest` is the SHA-256 of its decoded values in row order.

    An array that is not `stored` belongs to the result, but its values are elsewhere: native frames in their source.
    """

    model_config = ConfigDict(frozen=True)

    shape: tuple[int, ...]
    dtype: str
    dims: tuple[str, ...]
    chunk_rows: int
    shard_rows: int
    digest: str
    stored: bool = True


class FileEntry(BaseModel):
    """One file of an artifact as it is stored; `size` in bytes, `digest` the SHA-256 of its bytes."""

    model_config = ConfigDict(frozen=True)

    size: int
    digest: str


class Manifest(BaseModel):
    """Description of an artifact: its contents, its inputs and settings, and how it was computed.

    `summary` is part of the result and of its digest. `made` records the circumstances (time, seconds, versions,
    threads) and is not part of the digest.
    """

    # Extra fields are forbidden because a damaged field name would otherwise read as the default.
    model_config = ConfigDict(frozen=True, extra="forbid")

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
        """SHA-256 (hex) of the result alone: decoded arrays, plain files and the summary."""
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
        """Return the manifest as stored: JSON with a seal over all of it, so that any flipped byte is noticed."""
        body = self.model_dump(mode="json")
        return Sealed(seal=digest(body), manifest=self).model_dump_json(indent=1).encode()


class Sealed(BaseModel):
    """A manifest and the SHA-256 (hex) of its JSON."""

    seal: str
    manifest: Manifest


def unseal(data: bytes) -> Manifest:
    """Return the manifest in `data`.

    Raises:
        ValueError: if the JSON is damaged, the seal does not match, or the format is not the one read here.
    """
    found = json.loads(data)
    sealed = Sealed.model_validate(found)
    if sealed.seal != digest(found["manifest"]):  # of the JSON: the model would have to be dumped again
        raise ValueError("the manifest does not match its seal")
    if sealed.manifest.format != FORMAT:
        raise ValueError(f"the manifest has format {sealed.manifest.format}; this version reads {FORMAT}")
    return sealed.manifest


@cache
def versions() -> Mapping[str, str]:
    """Return the versions of Python and of the recorded packages."""
    found = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
