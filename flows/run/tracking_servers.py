"""Tracking URIs whose database or server cannot be opened, found before MLflow is: it retries for minutes."""

import os
import socket
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from http import HTTPStatus
from pathlib import Path

from motion_adapt.flows.run.errors import RunError
from motion_adapt.storage.tracking import without_password

KNOCKS, PATIENCE = 2, 4.0  # attempts to reach a server, and seconds per attempt
LIMIT = 12.0  # seconds for all of them, with the look-up of the host's name
PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433}
KINDS = "name a database sqlite:///FILE or a server http://HOST:PORT"


def require_database(uri: str, database: Path, *, create: bool) -> None:
    """Check that a local database can be opened; with `create`, that it can be written or created.

    Raises:
        RunError: if it cannot.
    """
    if database.is_dir():
        raise RunError(
            f"--tracking-uri {uri} names the folder {database}: name a file in it, as in "
            f"sqlite:///{database / 'mlflow.db'}"
        )
    try:
        if database.exists():
            with closing(sqlite3.connect(database, timeout=0)) as opened:
                opened.execute("PRAGMA schema_version").fetchone()
        elif create:
            database.parent.mkdir(parents=True, exist_ok=True)
        writable = os.access(database if database.exists() else database.parent, os.W_OK)
    except sqlite3.Error as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):  # in use: it can be opened
            return
        raise RunError(f"--tracking-uri {uri}: {error}; name another file") from error
    except OSError as error:
        raise RunError(
            f"--tracking-uri {uri} cannot be opened ({error.strerror}); name another file"
        ) from error
    if create and not writable:
        raise RunError(f"--tracking-uri {uri} cannot be written; name another file")


def require_database_server(uri: str) -> None:
    """Check that something listens where a database server is named; it is MLflow that logs in.

    Raises:
        RunError: if nothing does, or if the URI cannot be parsed.
        ModuleNotFoundError: if the database's driver is not installed.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    try:
        url = create_engine(uri).url
    except (SQLAlchemyError, ValueError) as error:
        raise RunError(f"--tracking-uri {without_password(uri)} is not known to MLflow; {KINDS}") from error
    port = url.port or PORTS.get(url.get_backend_name())
    if url.host and port:
        within(LIMIT, lambda: _listens(str(url.host), int(port)), f"--tracking-uri {without_password(uri)}")


def knock(uri: str) -> None:
    """Check that an MLflow server answers.

    Raises:
        RunError: if there is no answer, or that of another server.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    named = f"--tracking-uri {without_password(uri)}"

    def ask() -> None:
        for left in reversed(range(KNOCKS)):
            try:
                answer = http_request(
                    get_default_host_creds(uri),
                    "/health",
                    "GET",
                    max_retries=0,
                    timeout=PATIENCE,
                    raise_on_status=False,
                )
                # Another answer, such as a refusal, is for MLflow to report.
                if answer.status_code == HTTPStatus.NOT_FOUND:
                    raise RunError(f"{named}: the server there is not an MLflow server; name another")
                return
            except MlflowException as error:
                if not left:
                    raise RunError(
                        f"{named}: no MLflow server answers there; start it, or name another"
                    ) from error

    within(LIMIT, ask, named)


def within(limit: float, look: Callable[[], None], named: str) -> None:
    """Call a function that must end within `limit` seconds; raise what it raises.

    Raises:
        RunError: if it does not end in time.
    """
    raised: list[BaseException] = []

    def call() -> None:
        try:
            look()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call, daemon=True, name="tracking server")
    thread.start()
    thread.join(limit)
    if raised:
        raise raised[0]
    if thread.is_alive():
        raise RunError(
            f"{named}: nothing answers there within {limit:.0f} s; start the server, or name another"
        )


def _listens(host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=PATIENCE).close()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RunError(
            f"--tracking-uri: no database answers at {host}:{port} ({reason}); start it, or name another"
        ) from error
