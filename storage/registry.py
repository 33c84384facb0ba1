"""The model registry in MLflow: one version per round, and the alias `champion`."""

import tempfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from motion_adapt.storage.artifact_places import VERSION, current_place, local_database
from motion_adapt.storage.keys import file_digest
from motion_adapt.storage.names import mark
from motion_adapt.storage.tracking import Tracker, safe_model_name

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel
    from mlflow.tracking import MlflowClient

CHAMPION = "champion"
_PAGE = 1000  # registered models per response, MLflow's own limit


class Registry:
    """The registered model of one experiment: one version per round, with all its networks."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker, self.client = tracker, tracker.client

    @cached_property
    def model(self) -> str:
        """`motion-adapt-<experiment>`. A name that MLflow can't hold is made plain, and marked with its digest.

        Without the mark, two such experiments would share one model, and so their champion. A model without a mark,
        from before there were any, keeps its name if all its versions are of this experiment.
        """
        experiment = self.tracker.experiment
        safe = safe_model_name(experiment)
        plain = f"motion-adapt-{safe}"
        if safe == experiment or self._is_all_ours(plain):
            return plain
        return f"{plain}-{mark(experiment)}"

    def _is_all_ours(self, model: str) -> bool:
        """Return whether a model has versions, all of them of runs of this experiment."""
        from mlflow.exceptions import MlflowException

        runs = [str(version.run_id) for version in self.client.search_model_versions(f"name = '{model}'")]
        try:
            found = {self.client.get_run(run).info.experiment_id for run in runs}
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False  # a run was deleted for good: nobody knows whose it was
        return found == {self.tracker.experiment_id}

    def register(self, run_id: str, folder: str, tags: Mapping[str, str]) -> int:
        """Register the checkpoints in a run's artifact folder. Returns their version, new or existing."""
        from mlflow.exceptions import MlflowException

        with self.tracker.alone():
            try:
                self.client.create_registered_model(self.model)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            for version in self.client.search_model_versions(f"name = '{self.model}'"):
                if version.run_id == run_id:
                    return int(version.version)
            source = f"{self.tracker.artifact_uri(run_id)}/{folder}"
            made = self.client.create_model_version(self.model, source=source, run_id=run_id, tags=dict(tags))
            return int(made.version)

    def promote(self, version: int) -> None:
        """Move the alias `champion` to a version."""
        self.client.set_registered_model_alias(self.model, CHAMPION, str(version))

    def champion(self) -> tuple[int, str] | None:
        """Return (version, run id) of the champion, or None if no round was promoted yet.

        Raises:
            MlflowException: if MLflow does not answer.
        """
        from mlflow.exceptions import MlflowException

        try:
            version = self.client.get_model_version_by_alias(self.model, CHAMPION)
        except MlflowException as error:
            # Codes of a missing model and of a missing alias; an unreachable server has another code.
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            return None
        return int(version.version), str(version.run_id)

    def download_champion(self, folder: Path) -> Path:
        """Download the champion's checkpoints. Returns the folder that holds them.

        Raises:
            LookupError: if the experiment has no champion yet.
            OSError: if its files cannot be read.
        """
        found = self.champion()
        if found is None:
            raise LookupError(
                f"experiment '{self.tracker.experiment}' has no champion yet: name start weights with --weights DIR"
            )
        version = self.client.get_model_version(self.model, str(found[0]))
        folder.mkdir(parents=True, exist_ok=True)
        return _download(version, self.tracker.uri, folder)


def champions(uri: str) -> dict[str, dict[str, str]]:
    """Return the champions of all experiments: by `MODEL version N`, the SHA-256 of each checkpoint file by its name.

    Raises:
        OSError: if a champion's files cannot be read, so that it is unknown which artifacts it needs.
    """
    database = local_database(uri)
    if database and not database.is_file():
        return {}  # nothing has been tracked here, and a query would create the database
    from mlflow.tracking import MlflowClient

    client, found = MlflowClient(tracking_uri=uri, registry_uri=uri), {}
    for model in _registered_models(client):
        if CHAMPION not in model.aliases:
            continue
        version = client.get_model_version(model.name, str(model.aliases[CHAMPION]))
        with tempfile.TemporaryDirectory() as temporary:
            files = sorted(_download(version, uri, Path(temporary)).rglob("*.safetensors"))
            found[f"{model.name} version {version.version}"] = {
                file.name: file_digest(file) for file in files
            }
    return found


def _download(version: "ModelVersion", uri: str, folder: Path) -> Path:
    """Download the checkpoints of a version from their current place. Returns the folder that holds them.

    Raises:
        OSError: if they cannot be read.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    source = current_place(version.source or "", local_database(uri), VERSION)
    try:
        return Path(download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=uri))
    except (MlflowException, OSError) as error:
        why = str(error).strip().rpartition("\n")[2].strip()  # MLflow puts a list of all files first
        raise OSError(
            f"the champion {version.name} version {version.version} can't be read from {source}: {why}"
        ) from error


def _registered_models(client: "MlflowClient") -> Iterator["RegisteredModel"]:
    """Yield all registered models, page by page."""
    page = client.search_registered_models(max_results=_PAGE)
    yield from page
    while page.token:
        page = client.search_registered_models(max_results=_PAGE, page_token=page.token)
        yield from page
