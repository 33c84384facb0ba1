"""Tracking settings: the MLflow database and experiment of a run."""

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.run import source_name
from motion_adapt.flows.run.tracking_servers import (
    KINDS,
    knock,
    require_database,
    require_database_server,
)
from motion_adapt.storage.artifact_places import local_database
from motion_adapt.storage.tracking import NoExperiment, Tracker, without_password

DATABASES = ("postgresql", "mysql", "mssql")  # servers to which MLflow connects by itself


class Tracking(BaseModel):
    """The MLflow server or database, and the experiment, in which a run is tracked."""

    model_config = ConfigDict(frozen=True)

    uri: str = Field("sqlite:///motion-adapt/mlflow.db", description="any MLflow tracking URI")
    experiment: str = Field(
        "",
        description="MLflow experiment; if empty, the name of the source, or <source>-pruned in a smoke run",
    )

    @property
    def shown(self) -> str:
        """The URI without user name and password."""
        return without_password(self.uri)

    def open(self, source: str, prune: int | None = None, *, create: bool = True) -> Tracker:
        """Open the tracker.

        Args:
            source: the source, whose name is the default experiment.
            prune: the number of clips of a smoke run, else None.
            create: create the database and the experiment if they are missing; else this is an error.

        Raises:
            RunError: if MLflow cannot be opened, or has no such experiment.
        """
        from mlflow.exceptions import MlflowException  # imported here because it takes seconds
        from sqlalchemy.exc import SQLAlchemyError

        uri = self.reach(create=create)
        try:
            return Tracker(uri, self.experiment or source_name(source, prune), create=create)
        except NoExperiment as error:
            raise RunError(str(error)) from error
        except (MlflowException, SQLAlchemyError) as error:
            told = first_sentence(error)
            raise RunError(f"--tracking-uri {self.shown}: {told}; {KINDS}") from error

    def reach(self, *, create: bool = True) -> str:
        """Return the URI as MLflow reads it, after its database or server was found to be there.

        The scheme is in lower case, and the path of a local database is absolute.

        Args:
            create: create the folder of a local database if it is missing.

        Raises:
            RunError: if it cannot be opened, or if the package for it is missing.
        """
        scheme, colon, rest = self.uri.partition("://")
        scheme = scheme.lower()
        uri = f"{scheme}{colon}{rest}"
        if database := local_database(uri):
            return _sqlite(self.uri, database, create=create)
        try:
            if scheme in ("http", "https"):
                knock(uri)
            elif scheme.partition("+")[0] in DATABASES:
                require_database_server(uri)
        except ModuleNotFoundError as error:
            raise RunError(
                f"--tracking-uri {self.shown} needs the package {error.name}, which is not installed: "
                f"install it, or {KINDS}"
            ) from error
        return uri


def first_sentence(error: BaseException) -> str:
    """Return the first sentence of a library's error, on one line; the rest is advice about using the library."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return without_password(line.split(". ")[0].rstrip("."))


def _sqlite(given: str, database: Path, *, create: bool) -> str:
    """Return the URI of a local database. SQLAlchemy ends its path at the first question mark."""
    _, mark, options = given.partition("?")
    if mark and not re.match(r"\w+=", options):
        raise RunError(
            f"--tracking-uri {given} has a question mark in its path, which no database may have there: name another"
        )
    require_database(given, database, create=create)
    path = database.resolve()
    if "?" in str(path) and not database.is_absolute():
        path = database  # the question mark is in the current folder's path
    return f"sqlite:///{path}{mark}{options}"
