"""Tracking settings: the MLflow database and experiment of a run."""

from pydantic import BaseModel, ConfigDict, Field

from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.run import source_name
from motion_adapt.storage.tracking import NoExperiment, Tracker, local_database


class Tracking(BaseModel):
    """Where a run is tracked."""

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

        uri, database = self.uri, local_database(self.uri)
        if database:
            database = database.resolve()
            if create:
                database.parent.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{database}"
        try:
            return Tracker(uri, self.experiment or source_name(source, prune), create=create)
        except NoExperiment as error:
            raise RunError(str(error)) from error
        except MlflowException as error:
            raise RunError(f"--tracking-uri {self.uri}: {error}") from error
