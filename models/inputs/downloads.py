"""Pretrained weights of other people's networks: found, downloaded whole, or reported as missing at once.

A run that cannot have its weights must say so in seconds, not after a download library's retries, and must
say what to do. Nothing here falls back to other weights.
"""

import hashlib
import os
import re
import shutil
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import torch

PATIENCE = 5.0  # seconds for a server to answer at all


class WeightsMissing(RuntimeError):
    """Weights that are neither here nor to be had: what, how large, looked for where, and how to go on."""

    def __init__(
        self, what: str, *, megabytes: float | None, looked_in: str | Path, why: str, remedies: Sequence[str]
    ) -> None:
        self.what, self.megabytes, self.looked_in = what, megabytes, str(looked_in)
        size = f" ({megabytes:.0f} MB)" if megabytes else ""
        lines = [f"weights missing: {what}{size}", f"  looked in {looked_in}", f"  {why}"]
        super().__init__("\n".join([*lines, *(f"  - {remedy}" for remedy in remedies)]))


def hub_file(url: str, *, what: str, megabytes: float, replacement: str) -> Path:
    """The file of `url` in torch's hub cache ($TORCH_HOME/hub/checkpoints), downloaded if it is not there.

    The hash that torch's files carry in their names is checked after a download, never on a file that is
    there already. Raises WeightsMissing where there is no file and no server; `replacement` says how to do
    without.
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
    """Whether a server answers for `url` within `seconds`, name look-up included."""
    answered = threading.Event()

    def knock() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds):
                answered.set()
        except urllib.error.HTTPError:
            answered.set()  # a refusal is an answer too
        except (OSError, ValueError):
            return

    # a thread, since a name look-up takes no time limit of its own
    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()


def download(url: str, path: Path) -> Path:
    """Bring `url` to `path`, whole or not at all. Raises OSError, also for a hash unlike the name's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as beside:
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                shutil.copyfileobj(response, beside)
            beside.flush()
            os.fsync(beside.fileno())
            _check_hash(Path(beside.name), path.name)
            Path(beside.name).replace(path)
        except BaseException:
            Path(beside.name).unlink(missing_ok=True)
            raise
    return path


def _check_hash(file: Path, name: str) -> None:
    wanted = re.search(r"-([0-9a-f]{8,})\.", name)
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if wanted and not digest.startswith(wanted[1]):
        raise OSError(f"wanted SHA-256 {wanted[1]}..., got {digest[:8]}...")
