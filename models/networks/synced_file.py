"""Write a file whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def synced_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file to write, which replaces `path` only once it is complete and on disk.

    If the block raises, `path` stays as it was. The file's `name` is where it is until then.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        partial = Path(file.name)
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            file.close()  # Windows renames no open file
            partial.chmod(0o644)
            partial.replace(path)
        finally:
            file.close()
            partial.unlink(missing_ok=True)
