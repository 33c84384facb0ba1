"""Find the files of a Segment Anything model of transformers: in a folder, in the Hugging Face cache, or on the hub.

transformers is an optional dependency and imported only if a run uses such a model.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from motion_adapt.models.inputs.downloads import WeightsMissing, reachable

# By config.json's model_type.
KINDS = {"sam": "SAM", "sam_hq": "HQ-SAM", "sam2": "SAM 2", "sam2_video": "SAM 2"}
VIDEO = "sam2_video"
# of the authors' models on the hub, in MB: four bytes for each parameter
MEGABYTES = {
    "facebook/sam-vit-base": 375,
    "facebook/sam-vit-large": 1249,
    "facebook/sam-vit-huge": 2564,
    "syscv-community/sam-hq-vit-base": 379,
    "syscv-community/sam-hq-vit-large": 1253,
    "syscv-community/sam-hq-vit-huge": 2570,
    "facebook/sam2.1-hiera-tiny": 156,
    "facebook/sam2.1-hiera-small": 184,
    "facebook/sam2.1-hiera-base-plus": 323,
    "facebook/sam2.1-hiera-large": 898,
}
_FILES = ("*.json", "*.safetensors")


class SamUnusable(ValueError):
    """transformers is not installed, or a folder holds no Segment Anything model."""


@dataclass(frozen=True)
class SamFiles:
    """The files of a model.

    Attributes:
        name: the name on the hub or the folder, as it was given.
        folder: the folder with the files.
        content: their identity: `name@revision` on the hub, the SHA-256 of the files in a folder.
        kind: a key of `KINDS`.
    """

    name: str
    folder: Path
    content: str
    kind: str

    @property
    def address(self) -> str:
        """The name on the hub, or the absolute path of the folder: found from any working folder."""
        return self.name if self.content == f"{self.name}@{self.folder.name}" else str(self.folder)

    @property
    def megabytes(self) -> float:
        """Size of the weights."""
        return sum(path.stat().st_size for path in self.folder.glob("*.safetensors")) / 1e6


def require_transformers() -> None:
    """Check that transformers is installed.

    Raises:
        SamUnusable: it is not.
    """
    if find_spec("transformers") is None:
        raise SamUnusable(
            "sam.model needs the package transformers, which is not installed: pip install transformers"
        )


def find_sam(name: str, *, download: bool = True) -> SamFiles:
    """Find a model by its name on the hub or its folder. Downloads it if it is neither in a folder nor in the cache.

    Raises:
        SamUnusable: transformers is not installed, or the files are those of no Segment Anything model.
        WeightsMissing: there are no such files, and they cannot or must not be downloaded.
    """
    require_transformers()
    local = Path(name).expanduser()
    if local.is_dir():
        folder, content = local.resolve(), None
    elif local.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise _missing(name, looked_in=str(local), why="there is no such folder")
    else:
        folder = _from_hub(name, download)
        content = f"{name}@{folder.name}"
    kind = _kind(name, folder)
    stamp = tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in _files(folder))
    return SamFiles(name, folder, content or _digest(folder, stamp), kind)


def _from_hub(name: str, download: bool) -> Path:
    """Return the folder of a model of the hub in the Hugging Face cache, which is asked first."""
    import huggingface_hub  # here, since a run without SAM need not wait for it
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        cached = Path(
            huggingface_hub.snapshot_download(name, allow_patterns=list(_FILES), local_files_only=True)
        )
        if (cached / "config.json").is_file() and any(cached.glob("*.safetensors")):
            return cached
    except LocalEntryNotFoundError:
        pass
    except HFValidationError as error:
        raise SamUnusable(
            f"sam.model={name}: no folder, and no name of a model on the hub: {error}"
        ) from None
    server = huggingface_hub.constants.ENDPOINT
    if not download:
        why = "it is not in the cache"
    elif huggingface_hub.constants.HF_HUB_OFFLINE:
        why = "HF_HUB_OFFLINE is set"
    elif not reachable(server):
        why = f"no answer from {server}"
    else:
        try:
            return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(_FILES)))
        except Exception as error:  # any error of the client means that there are no weights
            why = f"download failed: {error}"
    raise _missing(name, looked_in=f"{huggingface_hub.constants.HF_HUB_CACHE} for {name}", why=why)


def _missing(name: str, *, looked_in: str, why: str) -> WeightsMissing:
    hub = name if name.count("/") == 1 and not Path(name).is_absolute() else next(iter(MEGABYTES))
    return WeightsMissing(
        f"sam.model={name}",
        megabytes=MEGABYTES.get(name),
        looked_in=looked_in,
        why=why,
        remedies=[
            f"get it: hf download {hub}",
            "or copy its folder from another machine, and name that: --sam FOLDER",
            "or do without: no mask is refined by SAM unless sam.model is set",
        ],
    )


def _kind(name: str, folder: Path) -> str:
    try:
        kind = str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, KeyError, TypeError):
        raise SamUnusable(
            f"sam.model={name}: {folder} has no config.json of a model of transformers; it needs config.json, "
            "preprocessor_config.json or processor_config.json, and model.safetensors"
        ) from None
    if kind not in KINDS:
        raise SamUnusable(
            f"sam.model={name} is a model of the type '{kind}', wanted one of {', '.join(KINDS)}"
        )
    if not any(folder.glob("*.safetensors")):
        raise _missing(name, looked_in=str(folder), why="there is no .safetensors file in that folder")
    return kind


def _files(folder: Path) -> list[Path]:
    return sorted(path for pattern in _FILES for path in folder.glob(pattern))


@lru_cache(maxsize=8)
def _digest(folder: Path, stamp: tuple[tuple[str, int, int], ...]) -> str:
    """Return the SHA-256 of a folder's files, read once unless `stamp`, their times and sizes, has changed."""
    whole = hashlib.sha256()
    for path in _files(folder):
        with path.open("rb") as stream:
            whole.update(path.name.encode() + b"\0" + hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()
