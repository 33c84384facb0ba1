"""The round ledger: what MLflow is told of an adaptation and its rounds.

Invariant: one parent run per adaptation and one child run per round; a run that was cut off is found again by
its key and goes on, so no round stands twice, and a point only where its value has changed. As a context, it
marks an adaptation that ends in an error as failed.
"""

import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from flows.figures import SCORE_NAMES, clip_rows
from flows.following import enter_curves
from flows.report import Report
from flows.rounds import Round
from flows.run import Run, RunError, source_name
from models.gate import RULES_ACROSS_RUNS, Decision, Verdict, gate
from storage.keys import digest
from storage.names import printable
from storage.tracking import REQUEST_TAG, START_TAG, NoExperiment, Tracker, local_database
from tasks.settings import Settings
from tasks.weights import FILE


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Nothing in here is cut short by Ctrl-C, which impatient people press twice."""
    if threading.current_thread() is not threading.main_thread():  # where Python never delivers it
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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


class Ledger:
    """See the module's invariant."""

    def __init__(
        self,
        tracker: Tracker,
        *,
        source: str,
        settings: Settings,
        asked: dict[str, Any],
        start: dict[str, str | None],
        figures: str,
        pruned: bool = False,
    ) -> None:
        self.tracker, self._pruned, self._figures = tracker, pruned, {"figures": figures} if figures else {}
        self.key = digest({**asked, "start": start})[:16]
        self.parent = tracker.begin(
            kind="adaptation",
            key=self.key,
            name=f"{source_name(source)} {time.strftime('%Y-%m-%d %H:%M')}",
            params=settings.model_dump(mode="json"),
            tags={
                "source": printable(source),
                REQUEST_TAG: digest(asked),
                **self._figures,
                **{f"{START_TAG}{name}": str(ref) for name, ref in start.items()},
            },
        )
        self._settings = settings

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind:
            with uninterrupted():
                self.tracker.finish(self.parent, failed=True)

    def write(self, run: Run, this: Round, metrics: dict[str, float], decision: Decision) -> int:
        """Enter a round: metrics, per-clip table, training curves, checkpoints; the version it is registered as."""
        tags = {"decision": decision.verdict.value, "reasons": "; ".join(decision.reasons), **self._figures}
        child = self.tracker.begin(
            kind="round",
            key=f"{self.key}-{this.index}",
            name=this.name,
            params={"round": this.index, **self._settings.model_dump(mode="json")},
            tags={**tags, "round": str(this.index)},
            parent=self.parent,
        )
        self.tracker.tag(child, tags)
        self.tracker.log(child, metrics)
        self.tracker.table(child, clip_rows(run, this), "clips")
        store = run.place.open()
        with tempfile.TemporaryDirectory() as folder:
            for model, artifact in this.weights.files(self._settings).items():
                data = run.read(lambda artifact=artifact: store.open(artifact).read(FILE))  # type: ignore[misc]
                (Path(folder) / f"{model}.safetensors").write_bytes(data)
                enter_curves(self.tracker, child, model, run.summary(artifact).get("curves", {}))
            self.tracker.files(child, sorted(Path(folder).iterdir()), "checkpoints")
        version = self.tracker.register(child, "checkpoints", {"round": str(this.index), **tags})
        self.tracker.finish(child)
        return version

    def promote(self, version: int, metrics: dict[str, float]) -> str:
        """Make a version the champion unless the gate finds the reigning one better; what happened, in words.

        What a smoke run made is never put forward: a few frames of a few clips say nothing about the rest.
        """
        if self._pruned:
            return f"version {version} is not put forward: --prune left out most of the frames"
        reigning = self.tracker.champion()
        if reigning is None:
            self.tracker.promote(version)
            return f"version {version} is the first champion"
        number, run_id = reigning
        if number == version:
            return f"version {version} stays champion"
        decision = gate(self.tracker.get(run_id).data.metrics, metrics, RULES_ACROSS_RUNS)
        if decision.verdict is not Verdict.KEEP:
            return f"version {number} stays champion: {'; '.join(decision.reasons)}"
        self.tracker.promote(version)
        return f"version {version} follows version {number} as champion"

    def close(self, kept: Round, strips: list[Path], report: Report) -> None:
        """Enter the pictures of the round that was kept and the final figures, and end the adaptation's run."""
        child = self.tracker.begin(
            kind="round", key=f"{self.key}-{kept.index}", name=kept.name, params={}, parent=self.parent
        )
        self.tracker.files(child, strips, "strips")
        self.tracker.finish(child)
        finals = {f"final/{name}": value for name, value in report.final.items() if name in SCORE_NAMES}
        self.tracker.log(self.parent, finals)
        self.tracker.json(self.parent, report.json(), "report")
        self.tracker.finish(self.parent)
