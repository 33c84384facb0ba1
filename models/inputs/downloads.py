"""Pretrained weights of third-party networks: find them, download them, or report at once that they are missing.

A run without its weights must fail within seconds, not after a download library's retries, and its error must say
what to do. Nothing here falls back to other weights.
"""

import hashlib
import re
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import torch

from motion_adapt.models.networks.synced_file import synced_file

PATIENCE = 5.0  # seconds within which a server must answer


class WeightsMissing(RuntimeError):
    """Weights were not found and cannot be downloaded. The message says which, their size, where, and what to do."""

    def __init__(
        self, what: str, *, megabytes: float | None, looked_in: str | Path, why: str, remedies: Sequence[str]
    ) -> None:
        self.what, self.megabytes, self.looked_in = what, megabytes, str(looked_in)
        size = f" ({megabytes:.0f} MB)" if megabytes else ""
        lines = [f"weights missing: {what}{size}", f"  looked in {looked_in}", f"  {why}"]
        super().__init__("\n".join([*lines, *(f"  - {remedy}" for remedy in remedies)]))


def hub_file(url: str, *, what: str, megabytes: float, replacement: str) -> Path:
    """Return the file of `url` in torch's hub cache ($TORCH_HOME/hub/checkpoints), downloading it if necessary.

    The hash in the names of torch's files is checked after a download, but not for a file that already exists.

    Args:
        url: address of the file.
        what: name of the weights, for the error message.
        megabytes: size of the file, for the error message.
        replacement: advice on how to do without the file, for the error message.

    Raises:
        WeightsMissing: there is no file, and the server does not answer or the download fails.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if path.is_file():
        return path
    why = f"no answer from {url}"
    if reachable(url):
        try:
            return download(url, path)
        except OSError as error:
            why = f"download failed: {error}"
    raise WeightsMissing(
        what,
        megabytes=megabytes,
        looked_in=path,
        why=why,
        remedies=[f"get it: mkdir -p {path.parent} && curl -fL -o {path} {url}", replacement],
    )


def reachable(url: str, seconds: float = PATIENCE) -> bool:
    """Return whether a server answers for `url` within `seconds`, including name look-up."""
    answered = threading.Event()

    def knock() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds):
                answered.set()
        except urllib.error.HTTPError:
            answered.set()  # an HTTP error is an answer too
        except (OSError, ValueError):
            return

    # in a thread, since name look-up has no time limit of its own
    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()


def download(url: str, path: Path) -> Path:
    """Download `url` to `path`, whole or not at all.

    Raises:
        OSError: the download failed, or the file's hash differs from the one in its name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with synced_file(path) as file:
        with urllib.request.urlopen(url, timeout=30) as response:
            shutil.copyfileobj(response, file)
        file.flush()
        _check_hash(Path(file.name), path.name)
    return path


def _check_hash(file: Path, name: str) -> None:
    wanted = re.search(r"-([0-9a-f]{8,})\.", name)
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if wanted and not digest.startswith(wanted[1]):
        raise OSError(f"wanted SHA-256 {wanted[1]}..., got {digest[:8]}...")
