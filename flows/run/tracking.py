"""Tracking settings: the MLflow database and experiment of a run."""

from pydantic import BaseModel, ConfigDict, Field

from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.run import source_name
from motion_adapt.storage.tracking import NoExperiment, Tracker, local_database


class Tracking(BaseModel):
    """Where runs are tracked."""

    model_config = ConfigDict(frozen=True)

    uri: str = Field("sqlite:///motion-adapt/mlflow.db", description="any MLflow tracking URI")
    experiment: str = Field(
        "", description="MLflow experiment; empty: the name of the source, <source>-pruned in a smoke run"
    )

    def open(self, source: str, prune: int | None = None, *, create: bool = True) -> Tracker:
        """The tracker, of a database at an absolute path; `create`: with what is not there yet, which is else an error.

        Raises:
            RunError: where MLflow can't be opened, or has no such experiment.
        """
        from mlflow.exceptions import MlflowException  # here, since importing it takes seconds

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
