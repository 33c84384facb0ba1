"""One invocation of a flow: its clips, the stages that ran on them, and what can be said at the end."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import Task
from prefect.futures import PrefectFuture
from rich.console import Console

from flows.lines import say
from models.weights import WeightsMissing
from storage.artifacts import NOT_MADE
from storage.clips import Clip, ClipError, ClipList
from storage.datasets.catalogue import DataSet
from storage.files import DamagedArtifact
from storage.keys import Artifact
from storage.manifest import Manifest
from storage.names import safe_name
from tasks.progress import track
from tasks.stage import Place

console = Console(stderr=True)
ByClip = dict[str, Artifact]


class RunError(RuntimeError):
    """The whole run cannot go on; the message says why and what to do."""


class NothingLeft(RunError):
    """Every clip was set aside; `run` knows why."""

    def __init__(self, message: str, run: "Run") -> None:
        super().__init__(message)
        self.run = run


@dataclass
class StageCount:
    """How often a stage was computed and how often the store had its artifact."""

    computed: int = 0
    cached: int = 0
    seconds: float = 0.0  # that computing took, in this run


@dataclass
class Run:
    """The clips of an invocation and the fate of each.

    Invariant: every clip is either live or set aside with a reason; a stage runs on live clips only.
    """

    place: Place
    clips: dict[str, Clip] = field(default_factory=dict)
    annotations: Path | None = None  # where the data set keeps them; opened by the evaluation stage alone
    data_set: DataSet | None = None  # the benchmark that they belong to
    set_aside: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    stages: dict[str, StageCount] = field(default_factory=dict)
    made: list[Artifact] = field(default_factory=list)
    _manifests: dict[Artifact, Manifest] = field(default_factory=dict)

    @classmethod
    def of(cls, place: Place, found: ClipList, *, prune: int | None = None) -> "Run":
        """A run over the clips of a folder, or over the first `prune` of them."""
        clips = found.clips[:prune] if prune else found.clips
        return cls(
            place,
            {clip.name: clip for clip in clips},
            found.annotations,
            found.data_set,
            {item.name: item.reason for item in found.set_aside},
            list(found.warnings),
        )

    def each(
        self,
        task: Task[..., Artifact],
        label: str,
        arguments: Callable[[str], Mapping[str, Any]],
        *,
        only: Sequence[str] | None = None,
        forgive: bool = False,
    ) -> ByClip:
        """Run a stage on every live clip, or on those named by `only`.

        A clip on which it fails is set aside; with `forgive` it stays live and there is a warning.

        Raises:
            RunError: for what no other clip would fare better with (missing weights).
        """
        futures = {}
        for name in list(self.clips if only is None else only):
            try:
                given = {"place": self.place.labelled(name), **arguments(name)}
            except (ValueError, OSError) as error:  # what a stage reads from outside the store is not there
                self.put_aside(name, task.name, error)
            else:
                futures[name] = self._submit(task, f"{label} · {name}", given)
        made = {}
        with track(len(futures), label) as advance:
            for name, future in futures.items():
                result = self._collect(task.name, future)
                advance(1)
                if isinstance(result, Artifact):
                    made[name] = result
                elif forgive:
                    why = reason(result)
                    self.warn(why if name in why else f"{name}: {why}")
                else:
                    self.put_aside(name, task.name, result)
        return made

    def once(self, task: Task[..., Artifact], label: str, **arguments: Any) -> Artifact:
        """Run a stage that is not a clip's own (a training, an import of weights).

        Raises:
            RunError: where it fails.
        """
        with track(1, label):
            place = self.place.labelled(label)
            result = self._collect(task.name, self._submit(task, label, {"place": place, **arguments}))
        if isinstance(result, Artifact):
            return result
        raise RunError(f"{label}: {reason(result)}") from result

    def manifest(self, artifact: Artifact) -> Manifest:
        """The manifest of an artifact of this run, read once."""
        if artifact not in self._manifests:
            self._manifests[artifact] = self.place.open().manifest(artifact)
        return self._manifests[artifact]

    def summary(self, artifact: Artifact) -> dict[str, Any]:
        """The summary of an artifact of this run."""
        return self.manifest(artifact).summary

    def _submit(
        self, task: Task[..., Artifact], name: str, arguments: Mapping[str, Any]
    ) -> PrefectFuture[Artifact]:
        future: PrefectFuture[Artifact] = task.with_options(task_run_name=name).submit(**arguments)
        return future

    def _collect(self, stage: str, future: PrefectFuture[Artifact]) -> Artifact | BaseException:
        future.wait()
        count = self.stages.setdefault(stage, StageCount())
        result: Artifact | BaseException = future.result(raise_on_failure=False)
        if not isinstance(result, Artifact):
            if isinstance(result, WeightsMissing):
                raise RunError(str(result)) from result
            return result
        made = self.manifest(result).made
        for text in made.get("warnings", ()):
            self.warn(text)
        if result.attempt == str(future.task_run_id):
            count.computed += 1
            count.seconds += made["seconds"]
            if made["why"] != NOT_MADE:
                self.warn(f"{result} was computed again: {made['why']}")
        else:
            count.cached += 1
        self.made.append(result)
        return result

    def put_aside(self, name: str, stage: str, error: BaseException) -> None:
        """Take a clip out of the run and say why."""
        del self.clips[name]
        self.set_aside[name] = reason(error) if isinstance(error, ClipError) else f"{stage}: {reason(error)}"
        say(console, "set aside", f"{name}: {self.set_aside[name]}", "yellow")

    def warn(self, text: str) -> None:
        """Say something that the report repeats."""
        if text not in self.warnings:
            self.warnings.append(text)
            say(console, "warning", text, "yellow")

    def require_clips(self, source: Path | str) -> None:
        """See that something is left to do.

        Raises:
            NothingLeft: where every clip was set aside.
        """
        if not self.clips:
            raise NothingLeft(f"no clip of {source} could be processed", self)


def source_name(source: str) -> str:
    """What experiments and results of a source are called: a video loses its suffix, a folder keeps its dots."""
    path = Path(source).resolve()
    return safe_name(path.name if path.is_dir() else path.stem)


def reason(error: BaseException) -> str:
    """An error as one line for a person; a defect of ours keeps its type and place."""
    if isinstance(error, ClipError):
        return error.reason
    if isinstance(error, DamagedArtifact | RunError | ValueError | OSError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(where[-1].filename).name}:{where[-1].lineno}" if where else ""
    return f"unexpected {type(error).__name__}{place}: {error}"
