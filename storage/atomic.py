"""Files and folders that appear whole or not at all: written under a temporary name, then renamed."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to. If the block succeeds, it is renamed to `path`, replacing any earlier file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _hidden(path).with_suffix(path.suffix)  # encoders choose the format by the suffix
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill. If the block succeeds, it is renamed to `path`, replacing any earlier one."""
    partial, earlier = _hidden(path), _hidden(path)
    partial.mkdir(parents=True)
    try:
        yield partial
        if path.exists():
            path.rename(earlier)
        partial.rename(path)
    finally:
        if earlier.exists() and not path.exists():  # also if Ctrl-C came between the two renames
            earlier.rename(path)
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(earlier, ignore_errors=True)


def _hidden(path: Path) -> Path:
    """Return a hidden name in the same folder, so that the rename stays on one file system."""
    return path.with_name(f".{path.name[:48]}.{uuid.uuid4().hex[:12]}.part")
