"""Tracking settings: the MLflow database and experiment of a run."""

import re
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, Field

from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.run import source_name
from motion_adapt.storage.artifact_places import local_database
from motion_adapt.storage.tracking import NoExperiment, Tracker

KNOCKS, PATIENCE = 2, 4.0  # attempts to reach an MLflow server, and seconds per attempt


class Tracking(BaseModel):
    """The MLflow server or database, and the experiment, in which a run is tracked."""

    model_config = ConfigDict(frozen=True)

    uri: str = Field("sqlite:///motion-adapt/mlflow.db", description="any MLflow tracking URI")
    experiment: str = Field(
        "",
        description="MLflow experiment; if empty, the name of the source, or <source>-pruned in a smoke run",
    )

    def open(self, source: str, prune: int | None = None, *, create: bool = True) -> Tracker:
        """Open the tracker; the path of a local database is made absolute.

        Args:
            source: the source, whose name is the default experiment.
            prune: the number of clips of a smoke run, else None.
            create: create the database and the experiment if they are missing; else this is an error.

        Raises:
            RunError: if MLflow cannot be opened, or has no such experiment.
        """
        from mlflow.exceptions import MlflowException  # imported here because it takes seconds
        from sqlalchemy.exc import SQLAlchemyError

        uri, database = self.uri, local_database(self.uri)
        if database:
            database = database.resolve()
            if create:
                database.parent.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{database}"
        self.require_server()
        try:
            return Tracker(uri, self.experiment or source_name(source, prune), create=create)
        except NoExperiment as error:
            raise RunError(str(error)) from error
        except ModuleNotFoundError as error:
            raise RunError(
                f"--tracking-uri {without_password(self.uri)} needs the package {error.name}, which is not installed: "
                "install it, or name a database sqlite:///FILE or a server http://HOST:PORT"
            ) from error
        except (MlflowException, SQLAlchemyError) as error:
            shown = without_password(self.uri)
            told = first_sentence(error).replace(self.uri, shown)
            raise RunError(f"--tracking-uri {shown}: {told}") from error

    def require_server(self) -> None:
        """Check that the server answers, if the URI is a server's.

        Raises:
            RunError: if it does not.
        """
        if self.uri.startswith(("http://", "https://")):
            knock(self.uri)


def knock(uri: str) -> None:
    """Check that an MLflow server answers, because MLflow itself would retry for minutes.

    Raises:
        RunError: if there is no answer, or that of another server.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

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
                raise RunError(
                    f"--tracking-uri {without_password(uri)}: the server there is not an MLflow server; name another"
                )
            return
        except MlflowException as error:
            if not left:
                raise RunError(
                    f"--tracking-uri {without_password(uri)}: no MLflow server answers there; start it, or name another"
                ) from error


def first_sentence(error: BaseException) -> str:
    """Return the first sentence of a library's error, on one line; the rest is advice about using the library."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return line.split(". ")[0].rstrip(".")


def without_password(uri: str) -> str:
    """Return a URI without its password, so that it can be printed."""
    return re.sub("//[^/@]*@", "//...@", uri)
