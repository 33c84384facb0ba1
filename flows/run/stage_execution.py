"""Making the artifacts of a run: stages are submitted, counted, and what is found damaged is made again."""

import contextlib
import copy
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from prefect import Task
from prefect.futures import PrefectFuture

from motion_adapt.flows.run.console import console, say
from motion_adapt.flows.run.errors import RunError, outcome, reason
from motion_adapt.flows.run.runners import placed
from motion_adapt.models.inputs.downloads import WeightsMissing
from motion_adapt.storage.artifacts.files import DamagedArtifact, StoreUnwritable
from motion_adapt.storage.artifacts.manifest import Manifest
from motion_adapt.storage.artifacts.run_records import RunRecord
from motion_adapt.storage.artifacts.store import NOT_MADE
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.runtime.gpu import GpuBusy
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import recipe_of

T = TypeVar("T")
MENDINGS = 3  # of one artifact in one run; a disk that damages more than that is not worked against
RECORDED_EVERY = 60.0  # seconds within a stage of many clips; pruning spares what is younger than hours
_NOT_THE_CLIPS_FAULT = (WeightsMissing, StoreUnwritable, GpuBusy)  # no other clip would fare better


@dataclass
class StageCount:
    """How often a stage was computed and how often the store had its artifact."""

    computed: int = 0
    cached: int = 0
    seconds: float = 0.0  # that computing took, in this run


@dataclass(frozen=True)
class Call:
    """How an artifact of the run is made: enough to make it again."""

    task: Task[..., Artifact]
    name: str
    arguments: Mapping[str, Any]


@dataclass
class Making:
    """The artifacts of a run.

    Invariant: an artifact that is found damaged, in a stage or by `read`, is made again and what needed it goes on,
    up to `MENDINGS` times each; and from `begin_record` on, the store knows which artifacts the run needs.
    """

    place: Place
    warnings: list[str] = field(default_factory=list)
    stages: dict[str, StageCount] = field(default_factory=dict)
    made: list[Artifact] = field(default_factory=list)
    _record: RunRecord | None = None
    _recorded_at: float = 0.0
    _manifests: dict[Artifact, Manifest] = field(default_factory=dict)
    _calls: dict[str, Call] = field(default_factory=dict)  # by artifact, "stage/key"
    _latest: dict[str, Artifact] = field(default_factory=dict)  # the attempt that counts now
    _mended: Counter[str] = field(default_factory=Counter)

    def once(self, task: Task[..., Artifact], label: str, **arguments: Any) -> Artifact:
        """Run a stage that is not a clip's own (a training, an import of weights).

        Raises:
            RunError: where it fails.
        """
        call = Call(task, label, {"place": self.place.labelled(label), **arguments})
        with track(1, label):
            result = self.collect(call, self.submit(call))
        self.record_so_far()
        if isinstance(result, Artifact):
            return result
        raise RunError(f"{label}: {reason(result)}") from result

    def begin_record(self, command: str, source: str) -> None:
        """From now on, record what the run needs after every stage: pruning takes none of it, even after a kill."""
        self._record = RunRecord(self.place.open(), command, source)

    def record_so_far(self) -> None:
        """Record what the run has needed until now."""
        if self._record:
            with contextlib.suppress(StoreUnwritable):  # the next stage to be computed, or the end, says so
                self._record.write(self.made, ended=False)
            self._recorded_at = time.monotonic()

    def record_now_and_then(self) -> None:
        """The same within a stage of many clips, which may take days: not after every one of them."""
        if time.monotonic() - self._recorded_at > RECORDED_EVERY:
            self.record_so_far()

    def end_record(self) -> None:
        """Record that the run has ended, and what it needed.

        Raises:
            StoreUnwritable: where the store takes no more.
        """
        if self._record:
            self._record.write(self.made, ended=True)

    def read(self, what: Callable[[], T]) -> T:
        """`what()`, which reads artifacts of this run outside any stage; damaged ones are made again first.

        Raises:
            DamagedArtifact: where that does not help.
        """
        tries: Counter[str] = Counter()
        while True:
            try:
                return what()
            except DamagedArtifact as damage:
                if not self._mend(damage, tries):
                    raise

    def manifest(self, artifact: Artifact) -> Manifest:
        """The manifest of an artifact of this run, read once."""
        if artifact not in self._manifests:
            self._manifests[artifact] = self.place.open().manifest(artifact)
        return self._manifests[artifact]

    def summary(self, artifact: Artifact) -> dict[str, Any]:
        """The summary of an artifact of this run."""
        return self.manifest(artifact).summary

    def submit(self, call: Call) -> PrefectFuture[Artifact]:
        """Start a call; `collect` waits for it."""
        arguments = self._now(call)
        recipe = recipe_of(call.task, arguments)
        self._calls[f"{recipe.stage}/{recipe.key}"] = call
        return self.start(call, arguments)

    def start(self, call: Call, arguments: Mapping[str, Any]) -> PrefectFuture[Artifact]:
        """Hand a task to Prefect."""
        with placed(call.task, arguments):
            # with_options would do the same, after a look at the task's source that takes a millisecond
            named = copy.copy(call.task)
            named.task_run_name = call.name
            future: PrefectFuture[Artifact] = named.submit(**arguments)
        return future

    def _now(self, call: Call) -> dict[str, Any]:
        """The arguments of a call, with the attempts of artifacts that count now."""

        def latest(value: Any) -> Any:
            if isinstance(value, Artifact):
                return self._latest.get(str(value), value)
            return [latest(item) for item in value] if isinstance(value, list) else value

        return {name: latest(value) for name, value in call.arguments.items()}

    def collect(self, call: Call, future: PrefectFuture[Artifact]) -> Artifact | BaseException:
        """The artifact of a call, or why there is none.

        Raises:
            RunError: for what no other call would fare better with: missing weights, a store that can't be written, a
                GPU that others keep.
        """
        tries: Counter[str] = Counter()
        result = self._result(call, future)
        while isinstance(result, DamagedArtifact) and self._mend(result, tries):
            result = self._result(call, self.submit(call))
        return result

    def _result(self, call: Call, future: PrefectFuture[Artifact]) -> Artifact | BaseException:
        future.wait()
        count = self.stages.setdefault(call.task.name, StageCount())
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
                self.warn(f"{result} was computed again: {made['why']}")
        else:
            count.cached += 1
        before = self._latest.get(str(result), result)
        if before.digest != result.digest:
            self.warn(
                f"{result} has other bytes than before; what the next run makes of it is computed again"
            )
        self._latest[str(result)] = result
        self.made.append(result)
        return result

    def _mend(self, damage: DamagedArtifact, tries: Counter[str]) -> bool:
        """Make a damaged artifact again, if this run knows how; `tries` counts those of one reader.

        Where many stages have met the same damage, the first of them has it mended and the others find it so.
        """
        call, name = self._calls.get(damage.artifact), damage.artifact
        tries[name] += 1
        if call is None or tries[name] > MENDINGS:
            return False
        if self.place.open().find(recipe_of(call.task, self._now(call))):
            return True
        if self._mended[name] == MENDINGS:
            return False
        self._mended[name] += 1
        self.warn(f"{name} was damaged ({damage.what}) and is computed again")
        return isinstance(self.collect(call, self.submit(call)), Artifact)

    def warn(self, text: str) -> None:
        """Say something that the report repeats."""
        if text not in self.warnings:
            self.warnings.append(text)
            say(console, "warning", text, "yellow")
