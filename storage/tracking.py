"""Runs in MLflow: a parent run per adaptation, a child run per round, the same metric names in each.

Every call names its run. MLflow's "active run" belongs to a thread, so a metric logged from a task thread would open
a new run; the client API does not have this problem. Logging is idempotent: after a restart, a metric's point is
written again only if its value has changed. Experiments, runs and models that are looked up before they are created
are created once, even if several processes do so at a time.
"""

import json
import math
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motion_adapt.storage.artifact_places import (
    ARTIFACTS,
    EXPERIMENT,
    RUN,
    current_place,
    local_database,
    record_places,
)
from motion_adapt.storage.keys import digest, jsonable
from motion_adapt.storage.locks import alone, shared_folder
from motion_adapt.storage.names import mark

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Metric, Run
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

KEY_TAG = "motion_adapt.key"
KIND_TAG = "motion_adapt.kind"
PARENT_TAG = "mlflow.parentRunId"
# Digest of the request; `champion` is the same request after a promotion.
REQUEST_TAG = "motion_adapt.request"
START_TAG = "start."  # followed by a network's name: the artifact that the adaptation started from
_BATCH = 1000  # metrics per call, MLflow's own limit
_PAGE = 1000  # runs per response
_PATIENCE = 600.0  # seconds to wait for another process that creates something in MLflow


# What stands before the host of a URI: a name, or a name and a password, which may hold any character. A port does not.
_USER = re.compile(
    r"(\b(?!sqlite)[a-z][a-z0-9+.-]*://)(?:[^\s/?#@:]*@|[^\s/?#@:]*:(?!\d*(?:[/?#\s]|$))\S*@)", re.IGNORECASE
)
_SECRET = re.compile(r"([?&;](?:password|passwd|pwd|token|odbc_connect)=)[^&;\s]*", re.IGNORECASE)


def without_password(text: str) -> str:
    """Return a tracking URI, or a text with some, without user names and passwords, to be printed and recorded."""
    return _SECRET.sub(r"\1...", _USER.sub(r"\1...@", text))


class NoExperiment(LookupError):
    """An experiment does not exist, or was deleted."""


class Tracker:
    """One MLflow experiment at one tracking URI; created if it is missing and `create` is true.

    Raises:
        NoExperiment: if it was deleted, or is missing and `create` is false.
    """

    def __init__(self, uri: str, experiment: str, *, create: bool = True) -> None:
        database = local_database(uri)
        if not create and database and not database.is_file():
            raise NoExperiment(
                f"no experiment '{experiment}': there is no database {database}; name another with --tracking-uri"
            )
        from mlflow.tracking import MlflowClient

        self.uri, self.experiment = uri, experiment
        # by run, since looking one up takes a tenth of a second
        self._artifacts: dict[str, ArtifactRepository] = {}
        # The lock is a file, and reading needs no writable folder.
        with self.alone() if create else nullcontext():
            self.client: MlflowClient = MlflowClient(tracking_uri=uri, registry_uri=uri)
            found = self.client.get_experiment_by_name(experiment)
            if found and found.lifecycle_stage == "deleted":
                raise NoExperiment(
                    f"experiment '{experiment}' was deleted in MLflow: restore it there, or name another with "
                    "--experiment"
                )
            if found is None and not create:
                there = ", ".join(item.name for item in self.client.search_experiments())
                raise NoExperiment(f"no experiment '{experiment}' in {self.shown}; there are {there}")
            if found is None:
                location = None
                # MLflow's default is relative: it depends on the current directory of each process.
                if database:
                    folder = database.parent / ARTIFACTS / safe_model_name(experiment)
                    location = folder.resolve().as_uri()
                self.experiment_id = self.client.create_experiment(experiment, artifact_location=location)
            else:
                self.experiment_id = found.experiment_id
                recorded = found.artifact_location
                if create and database and current_place(recorded, database, EXPERIMENT) != recorded:
                    record_places(database)

    @property
    def shown(self) -> str:
        """The URI without user name and password."""
        return without_password(self.uri)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock this MLflow against other processes of this machine while something is looked up or created.

        Raises:
            TimeoutError: if another process holds the lock for longer than `_PATIENCE`.
        """
        database = local_database(self.uri)
        if database and database.parent.is_dir():
            lock = database.with_name(f".{database.name}.lock")
        else:
            lock = shared_folder() / f"{digest(self.uri)[:16]}.lock"
        with alone(lock, patience=_PATIENCE) as held:
            if not held:
                raise TimeoutError(
                    f"another process has been creating in {self.shown} for {_PATIENCE:.0f} seconds"
                )
            yield

    # ---------------------------------------------------------------- runs

    def begin(
        self,
        *,
        kind: str,
        key: str,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str] | None = None,
        parent: str | None = None,
    ) -> str:
        """Resume the run of this kind and key, or create it. Returns its id.

        An adaptation that is started again, whether it was interrupted or finished, continues its earlier run.
        """
        quoted = [f"tags.`{KEY_TAG}` = '{key}'", f"tags.`{KIND_TAG}` = '{kind}'"]
        if parent:
            quoted.append(f"tags.`{PARENT_TAG}` = '{parent}'")
        all_tags = {KEY_TAG: key, KIND_TAG: kind, **(tags or {}), **({PARENT_TAG: parent} if parent else {})}
        with self.alone():
            for run in self.client.search_runs([self.experiment_id], " and ".join(quoted)):
                self.client.update_run(run.info.run_id, status="RUNNING")
                break
            else:
                run = self.client.create_run(self.experiment_id, run_name=name, tags=all_tags)
            missing = {name: value for name, value in flatten(params).items() if name not in run.data.params}
            # All of a new run; of a killed one, those not yet logged.
            self._log_params(run.info.run_id, missing)
        return str(run.info.run_id)

    def finish(self, run_id: str, *, failed: bool = False) -> None:
        """End a run."""
        self.client.set_terminated(run_id, "FAILED" if failed else "FINISHED")

    @contextmanager
    def kept(self, run_id: str) -> Iterator[str]:
        """End a run with the block: as finished, or as failed if the block raises."""
        try:
            yield run_id
        except BaseException:
            self.finish(run_id, failed=True)
            raise
        self.finish(run_id)

    def rounds(self) -> list["Run"]:
        """Return all rounds of the experiment, oldest first."""
        return sorted(self._runs("round"), key=lambda run: run.info.start_time)

    def adaptations(self) -> list["Run"]:
        """Return all adaptations of the experiment; the one that ended, or else began, last comes first."""
        return sorted(
            self._runs("adaptation"), key=lambda run: -max(run.info.start_time, run.info.end_time or 0)
        )

    def _runs(self, kind: str) -> Iterator["Run"]:
        """Yield all runs of a kind, page by page."""
        page = None
        while True:
            found = self.client.search_runs(
                [self.experiment_id], f"tags.`{KIND_TAG}` = '{kind}'", max_results=_PAGE, page_token=page
            )
            yield from found
            page = found.token
            if not page:
                return

    def unfinished(self, request: str) -> Iterator["Run"]:
        """Yield adaptations with this request that have not finished, newest first."""
        for run in self.adaptations():
            if run.data.tags.get(REQUEST_TAG) == request and run.info.status != "FINISHED":
                yield run

    def get(self, run_id: str) -> "Run":
        """Return one run with its params, tags and latest metric values."""
        return self.client.get_run(run_id)

    # ---------------------------------------------------------------- contents of a run

    def log(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Log single values, at step 0. Values that are not finite are left out."""
        self.curve(run_id, [(0, metrics)])

    def curve(self, run_id: str, points: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        """Log points (step, metrics) of a curve; points that the run already has with the same value are skipped.

        A point with a new value replaces the old one: MLflow keeps both, and of several points at a step the one with
        the latest timestamp counts.
        """
        from mlflow.entities import Metric

        known = self.client.get_run(run_id).data.metrics
        there: dict[str, dict[int, Metric]] = {}
        new = []
        for step, metrics in points:
            for name, value in metrics.items():
                if name not in there:
                    there[name] = self._newest(run_id, name) if name in known else {}
                old = there[name].get(step)
                if math.isfinite(value) and (old is None or old.value != float(value)):
                    timestamp = old.timestamp + 1 if old else step
                    there[name][step] = Metric(name, float(value), timestamp=timestamp, step=step)
                    new.append(there[name][step])
        for start in range(0, len(new), _BATCH):
            self.client.log_batch(run_id, metrics=new[start : start + _BATCH])

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags."""
        for name, value in tags.items():
            self.client.set_tag(run_id, name, value)

    def table(self, run_id: str, table: "pd.DataFrame", name: str) -> None:
        """Log a table as JSON, which MLflow's page displays, and as CSV."""
        self._put(run_id, f"{name}.csv", table.to_csv(index=False))
        self._put(run_id, f"{name}.json", table.to_json(orient="split", index=False))

    def json(self, run_id: str, value: Any, name: str) -> None:
        """Log a value as a JSON file."""
        self._put(run_id, f"{name}.json", json.dumps(jsonable(value), indent=2))

    def files(self, run_id: str, paths: Sequence[Path], folder: str) -> None:
        """Log files as artifacts of the run; `artifact_name` gives the names of files and folders."""
        artifacts, folder = self.artifacts(run_id), _artifact_path(folder)
        for path in paths:
            name = artifact_name(path.name)
            if name == path.name:
                artifacts.log_artifact(str(path), folder)
                continue
            with tempfile.TemporaryDirectory() as temporary:
                artifacts.log_artifact(str(shutil.copy(path, Path(temporary) / name)), folder)

    def read(self, run_id: str, name: str) -> bytes | None:
        """Return the bytes of one of a run's files, or None if it has no file of that name."""
        name = _artifact_path(name)
        artifacts = self.artifacts(run_id)
        if name not in {entry.path for entry in artifacts.list_artifacts(name.rpartition("/")[0] or None)}:
            return None
        with tempfile.TemporaryDirectory() as temporary:
            return Path(artifacts.download_artifacts(name, temporary)).read_bytes()

    def artifacts(self, run_id: str) -> "ArtifactRepository":
        """Return the repository of a run's artifacts, at their current URI."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        if run_id not in self._artifacts:
            self._artifacts[run_id] = get_artifact_repository(
                self.artifact_uri(run_id), tracking_uri=self.uri
            )
        return self._artifacts[run_id]

    def artifact_uri(self, run_id: str) -> str:
        """Return the current URI of a run's artifacts."""
        return current_place(self.get(run_id).info.artifact_uri, local_database(self.uri), RUN)

    def _put(self, run_id: str, name: str, text: str) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / name
            path.write_text(text, encoding="utf-8")
            self.artifacts(run_id).log_artifact(str(path))

    def read_table(self, run_id: str, name: str) -> "pd.DataFrame | None":
        """Return a table that `table` has logged, or None if the run has no table of that name."""
        import pandas as pd

        found = self.read(run_id, f"{name}.json")
        return None if found is None else pd.DataFrame(**json.loads(found))

    def history(self, run_id: str, name: str) -> list[tuple[int, float]]:
        """Return (step, value) of a curve, ordered by step, with the newest value of each step."""
        return sorted((step, point.value) for step, point in self._newest(run_id, name).items())

    def _newest(self, run_id: str, name: str) -> dict[int, "Metric"]:
        """Return the newest point of a metric at each step."""
        points = self.client.get_metric_history(run_id, name)
        return {point.step: point for point in sorted(points, key=lambda point: point.timestamp)}

    def _log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        rows = [Param(name, str(value)) for name, value in params.items()]
        for start in range(0, len(rows), 100):
            self.client.log_batch(run_id, params=rows[start : start + 100])


def safe_model_name(text: str) -> str:
    """Return a name that MLflow's registry and file systems accept."""
    return (
        "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in text).strip("-") or "clips"
    )


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to dotted names."""
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def artifact_name(name: str) -> str:
    """Return a file name that MLflow can find again: it puts names into URLs, where those with %, # or ? get lost."""
    safe = re.sub(r"[%#?]", "_", name)
    if safe == name:
        return name
    stem, dot, suffix = safe.rpartition(".")
    return f"{stem}-{mark(name)}{dot}{suffix}" if dot else f"{safe}-{mark(name)}"


def _artifact_path(path: str) -> str:
    """Return a path whose every part is an `artifact_name`."""
    return "/".join(artifact_name(part) for part in path.split("/"))
