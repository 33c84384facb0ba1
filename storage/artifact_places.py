"""Locate MLflow's artifacts after the folder of a local database has been moved or copied.

MLflow records absolute paths: `file:///OLD/mlflow-artifacts/<experiment>/<run>/artifacts`. The artifacts of a local
database are next to it, so every recorded path is read as one next to the database. Artifacts elsewhere, on a server
or in another folder, are not affected.
"""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

ARTIFACTS = "mlflow-artifacts"  # the folder next to a database
# Number of path components below that folder.
EXPERIMENT, RUN, VERSION = 1, 3, 4
_COLUMNS = (
    ("experiments", "artifact_location", EXPERIMENT),
    ("runs", "artifact_uri", RUN),
    ("model_versions", "source", VERSION),
    ("model_versions", "storage_location", VERSION),
)


def local_database(uri: str) -> Path | None:
    """Return the file of an SQLite tracking URI, without the options after a question mark; None for any other URI."""
    found = re.match(r"sqlite(?:\+pysqlite)?:///([^?]*)", uri)
    return Path(found[1]) if found else None


def current_place(recorded: str, database: Path | None, depth: int) -> str:
    """Return the URI at which the artifacts of a recorded URI are now.

    Args:
        recorded: the URI that MLflow has recorded.
        database: the file of a local database; None for a server.
        depth: EXPERIMENT, RUN or VERSION.
    """
    path = _local_path(recorded)
    if database is None or path is None or len(path.parts) < depth + 2 or path.parts[-depth - 1] != ARTIFACTS:
        return recorded
    beside = database.resolve().parent / ARTIFACTS
    own = beside.joinpath(*path.parts[-depth:])
    # In the second case only the database was moved.
    if own == path or (not beside.is_dir() and path.exists()):
        return recorded
    return own.as_uri()


def record_places(database: Path) -> None:
    """Write the current URIs into a local database, so that MLflow's own page finds the artifacts too."""
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for table, column, depth in _COLUMNS:
            recorded = connection.execute(f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL")
            for (old,) in recorded.fetchall():
                new = current_place(old, database, depth)
                if new != old:
                    connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (new, old))


def _local_path(uri: str) -> Path | None:
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return Path(uri) if not parts.scheme and uri.startswith("/") else None
