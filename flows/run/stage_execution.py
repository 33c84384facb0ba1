"""Execute the stages of a run: submit and count them, and recompute artifacts that are found damaged."""

import contextlib
import copy
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from motion_adapt.flows.run.console import console, say
from motion_adapt.flows.run.errors import RunError, outcome, reason
from motion_adapt.models.inputs.downloads import WeightsMissing
from motion_adapt.storage.artifacts.files import DamagedArtifact, StoreUnwritable
from motion_adapt.storage.artifacts.manifest import Manifest
from motion_adapt.storage.artifacts.run_records import RunRecord
from motion_adapt.storage.artifacts.store import NOT_MADE
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.runtime.gpu import GpuBusy
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import Stage

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture

T = TypeVar("T")
MENDINGS = 3  # recomputations of one damaged artifact per run; beyond that the disk is assumed faulty
RECORDED_EVERY = (
    60.0  # seconds between records within a stage; pruning spares artifacts younger than hours anyway
)
_NOT_THE_CLIPS_FAULT = (WeightsMissing, StoreUnwritable, GpuBusy)  # errors that would affect every clip


@dataclass
class StageCount:
    """The counts of a stage: how often it was computed, and how often the store already had its artifact."""

    computed: int = 0
    cached: int = 0
    seconds: float = 0.0  # computing time in this run


@dataclass(frozen=True)
class Call:
    """A call of a stage: all that is needed to compute its artifact again."""

    stage: Stage
    name: str
    arguments: Mapping[str, Any]


@dataclass
class Making:
    """The artifacts of a run.

    Invariants: an artifact that is found damaged, in a stage or by `read`, is recomputed up to `MENDINGS` times, and
    the work that needed it continues. After `begin_record`, the store records which artifacts the run needs.
    """

    place: Place
    warnings: list[str] = field(default_factory=list)
    stages: dict[str, StageCount] = field(default_factory=dict)
    made: list[Artifact] = field(default_factory=list)
    _record: RunRecord | None = None
    _recorded_at: float = 0.0
    _manifests: dict[Artifact, Manifest] = field(default_factory=dict)
    _calls: dict[str, Call] = field(default_factory=dict)  # by artifact, "stage/key"
    _latest: dict[str, Artifact] = field(default_factory=dict)  # the current attempt, by "stage/key"
    _mended: Counter[str] = field(default_factory=Counter)

    def once(self, stage: Stage, label: str, **arguments: Any) -> Artifact:
        """Run a stage that is not run per clip (a training, an import of weights).

        Raises:
            RunError: if it fails.
        """
        call = Call(stage, label, {"place": self.place.labelled(label), **arguments})
        with track(1, label):
            result = self.collect(call, self.submit(call))
        self.record_so_far()
        if isinstance(result, Artifact):
            return result
        raise RunError(f"{label}: {reason(result)}") from result

    def begin_record(self, command: str, source: str) -> None:
        """From now on, record after every stage which artifacts the run needs, so that pruning keeps them."""
        self._record = RunRecord(self.place.open(), command, source)

    def record_so_far(self) -> None:
        """Record which artifacts the run has needed so far."""
        if self._record:
            with contextlib.suppress(StoreUnwritable):  # reported by the next stage computed, or at the end
                self._record.write(self.made, ended=False)
            self._recorded_at = time.monotonic()

    def record_now_and_then(self) -> None:
        """Call `record_so_far` at most every `RECORDED_EVERY` seconds, within a stage of many clips."""
        if time.monotonic() - self._recorded_at > RECORDED_EVERY:
            self.record_so_far()

    def end_record(self) -> None:
        """Record that the run has ended, and which artifacts it needed.

        Raises:
            StoreUnwritable: if the store cannot be written.
        """
        if self._record:
            self._record.write(self.made, ended=True)

    def read(self, what: Callable[[], T]) -> T:
        """Return `what()`, which reads artifacts of this run outside any stage; recompute damaged ones and try again.

        Raises:
            DamagedArtifact: if recomputing does not help.
        """
        tries: Counter[str] = Counter()
        while True:
            try:
                return what()
            except DamagedArtifact as damage:
                if not self._mend(damage, tries):
                    raise

    def manifest(self, artifact: Artifact) -> Manifest:
        """Return the manifest of an artifact of this run; it is read once."""
        if artifact not in self._manifests:
            self._manifests[artifact] = self.place.open().manifest(artifact)
        return self._manifests[artifact]

    def summary(self, artifact: Artifact) -> dict[str, Any]:
        """Return the summary of an artifact of this run."""
        return self.manifest(artifact).summary

    def submit(self, call: Call) -> "PrefectFuture[Artifact]":
        """Start a call. `collect` waits for its result."""
        arguments = self._now(call)
        recipe = call.stage.recipe(arguments)
        self._calls[f"{recipe.stage}/{recipe.key}"] = call
        return self.start(call, arguments)

    def start(self, call: Call, arguments: Mapping[str, Any]) -> "PrefectFuture[Artifact]":
        """Hand a task to Prefect, which is imported only now: a plan does without it."""
        from motion_adapt.flows.run.runners import placed
        from motion_adapt.tasks.runtime.prefect_tasks import task_of

        with placed(call.stage, arguments):
            # with_options would do the same, but reads the task's source, which takes a millisecond
            named = copy.copy(task_of(call.stage))
            named.task_run_name = call.name
            future: PrefectFuture[Artifact] = named.submit(**arguments)
        return future

    def _now(self, call: Call) -> dict[str, Any]:
        """Return the arguments of a call, with the current attempt of every artifact."""

        def latest(value: Any) -> Any:
            if isinstance(value, Artifact):
                return self._latest.get(str(value), value)
            return [latest(item) for item in value] if isinstance(value, list) else value

        return {name: latest(value) for name, value in call.arguments.items()}

    def collect(self, call: Call, future: "PrefectFuture[Artifact]") -> Artifact | BaseException:
        """Return the artifact of a call, or the error if it failed.

        Raises:
            RunError: if the failure would affect every call: missing weights, a store that cannot be written, a GPU
                that other processes hold.
        """
        tries: Counter[str] = Counter()
        result = self._result(call, future)
        while isinstance(result, DamagedArtifact) and self._mend(result, tries):
            result = self._result(call, self.submit(call))
        return result

    def _result(self, call: Call, future: "PrefectFuture[Artifact]") -> Artifact | BaseException:
        future.wait()
        count = self.stages.setdefault(call.stage.name, StageCount())
        result = outcome(future)
        if not isinstance(result, Artifact):
            if isinstance(result, _NOT_THE_CLIPS_FAULT):
                raise RunError(str(result)) from result
            return result
        try:
            made = self.manifest(result).made
        except DamagedArtifact as damage:
            return damage
        for text in (*made.get("warnings", ()), future.state.message):
            if text:
                self.warn(text)
        if result.attempt == str(future.task_run_id):
            count.computed += 1
            count.seconds += made["seconds"]
            if made["why"] != NOT_MADE:
                self.warn(f"{result} was recomputed: {made['why']}")
        else:
            count.cached += 1
        before = self._latest.get(str(result), result)
        if before.digest != result.digest:
            self.warn(f"{result} has other bytes than before; the next run recomputes what depends on it")
        self._latest[str(result)] = result
        self.made.append(result)
        return result

    def _mend(self, damage: DamagedArtifact, tries: Counter[str]) -> bool:
        """Recompute a damaged artifact, if this run knows how; `tries` counts the attempts of one reader.

        If several stages meet the same damage, the first one recomputes the artifact and the others find it repaired.
        """
        call, name = self._calls.get(damage.artifact), damage.artifact
        tries[name] += 1
        if call is None or tries[name] > MENDINGS:
            return False
        if self.place.open().find(call.stage.recipe(self._now(call))):
            return True
        if self._mended[name] == MENDINGS:
            return False
        self._mended[name] += 1
        self.warn(f"{name} was damaged ({damage.what}) and is being recomputed")
        return isinstance(self.collect(call, self.submit(call)), Artifact)

    def warn(self, text: str) -> None:
        """Print a warning and keep it for the report."""
        if text not in self.warnings:
            self.warnings.append(text)
            say(console, "warning", text, "yellow")
