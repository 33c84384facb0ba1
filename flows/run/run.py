"""One invocation of a flow: its clips, the stages run on them, and the clips set aside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from motion_adapt.flows.run.console import console, say
from motion_adapt.flows.run.errors import RunError, reason
from motion_adapt.flows.run.stage_execution import Call, Making
from motion_adapt.storage.clips.find_clips import Clip, ClipError, ClipList
from motion_adapt.storage.datasets.catalogue import DataSet
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.names import printable, safe_name
from motion_adapt.storage.results.export import ResultsTaken, has_results, retire_clip
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import Stage

ByClip = dict[str, Artifact]


class NothingLeft(RunError):
    """Every clip was set aside; `run.set_aside` has the reasons."""

    def __init__(self, message: str, run: "Run") -> None:
        super().__init__(message)
        self.run = run


@dataclass
class Run(Making):
    """The clips of an invocation and their state.

    Invariant: every clip is either live or set aside with a reason; stages run on live clips only.
    """

    clips: dict[str, Clip] = field(default_factory=dict)
    annotations: Path | None = None  # where the data set keeps them; opened by the evaluation stages only
    data_set: DataSet | None = None  # the benchmark that they belong to
    set_aside: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)  # by path in the source: why it is not taken
    still: dict[str, list[list[int]]] = field(default_factory=dict)  # first and last of frames without motion
    shots: dict[str, list[str]] = field(default_factory=dict)  # by video that was split: its shots
    # by clip that has only every so-many-th frame: a clip of all frames from its first one on, and that number
    thinned: dict[str, tuple[Clip, int]] = field(default_factory=dict)
    filled: dict[str, int] = field(default_factory=dict)  # by clip: frames in between that have got a mask
    output: Path | None = None  # where results go; set by `export_to`
    places: dict[str, Path] = field(default_factory=dict)  # paths of clips that were set aside
    blameless: set[str] = field(default_factory=set)  # set aside for what is not theirs; earlier results stay

    @classmethod
    def of(cls, place: Place, found: ClipList, *, prune: int | None = None) -> Self:
        """Create a run over the clips found, or over the first `prune` of them."""
        clips = found.clips[:prune] if prune else found.clips
        return cls(
            place,
            list(found.warnings),
            clips={clip.name: clip for clip in clips},
            annotations=found.annotations,
            data_set=found.data_set,
            set_aside={item.name: item.reason for item in found.set_aside},
            places={item.name: item.path for item in found.set_aside if item.path},
            skipped=dict(found.skipped),
        )

    def each(
        self,
        stage: Stage,
        label: str,
        arguments: Callable[[str], Mapping[str, Any]],
        *,
        only: Sequence[str] | None = None,
        forgive: bool = False,
        keep_results: bool = False,
    ) -> ByClip:
        """Run a stage on every live clip, or on those named by `only`.

        A clip on which the stage fails is set aside; with `forgive`, it stays live and a warning is given.
        `keep_results` is as in `put_aside`.

        Raises:
            RunError: if the failure would affect all clips (see `collect`).
        """

        def failed(name: str, error: BaseException) -> None:
            if not forgive:
                self.put_aside(name, stage.name, error, keep_results=keep_results)
                return
            why = reason(error)
            self.warn(why if name in why else f"{name}: {why}")

        futures = {}
        for name in list(self.clips if only is None else only):
            try:
                given = {"place": self.place.labelled(name), **arguments(name)}
            # A file that the stage reads from outside the store is missing.
            except (ValueError, OSError) as error:
                failed(name, error)
            else:
                call = Call(stage, f"{label} · {name}", given)
                futures[name] = call, self.submit(call)
        made = {}
        with track(len(futures), label) as advance:
            for name, (call, future) in futures.items():
                result = self.collect(call, future)
                advance(1)
                self.record_now_and_then()
                if isinstance(result, Artifact):
                    made[name] = result
                else:
                    failed(name, result)
        self.record_so_far()
        return made

    @property
    def results(self) -> Path:
        """The folder for results.

        Raises:
            RunError: if the run has none.
        """
        if self.output is None:
            raise RunError("this run has no folder for results")
        return self.output

    def export_to(self, folder: Path) -> None:
        """Set the folder for results, and move away earlier results of clips that are set aside (see `put_aside`)."""
        self.output = folder
        for name in self.set_aside:
            self._retire(name, self.places.get(name))

    def _retire(self, name: str, path: Path | None) -> None:
        if self.output is None:
            return
        if name in self.blameless:
            if has_results(self.output, name):
                self.warn(
                    f"{name}: this run has no results for it; those of an earlier run stay in {self.output}"
                )
            return
        try:
            moved = retire_clip(self.output, name, path and path.absolute())
        except ResultsTaken as taken:
            self.warn(
                f"{name}: this run has no results for it; those in {self.output} belong to {printable(taken.owner)}"
            )
            return
        except TimeoutError as error:
            self.warn(f"{error}; this run has none for it, and those in {self.output} stay")
            return
        if moved:
            self.warn(
                f"{name}: the results of an earlier run were moved to {moved}; this run has none for it"
            )

    def put_aside(self, name: str, stage: str, error: BaseException, *, keep_results: bool = False) -> None:
        """Set a clip aside, and report why.

        `keep_results`: the cause is not in the clip but in ready-made flow or masks, so results of an earlier run stay.
        Otherwise they are moved away, because old masks could be mistaken for this run's.
        """
        clip = self.clips.pop(name)
        self.set_aside[name] = reason(error) if isinstance(error, ClipError) else f"{stage}: {reason(error)}"
        say(console, "set aside", f"{name}: {self.set_aside[name]}", "yellow")
        self.places[name] = clip.path
        if keep_results:
            self.blameless.add(name)
        self._retire(name, clip.path)

    def require_clips(self, source: Path | str) -> None:
        """Check that at least one clip is live.

        Raises:
            NothingLeft: if every clip was set aside.
        """
        if not self.clips:
            raise NothingLeft(f"no clip of {source} could be processed", self)


def source_name(source: str, prune: int | None = None) -> str:
    """Return the name for a source's experiment and results: a video's without suffix, a folder's in full.

    Smoke runs (`prune`) get a different name, so that they never replace other results.
    """
    path = Path(source).resolve()
    name = safe_name(path.name if path.is_dir() else path.stem)
    return f"{name}-pruned" if prune else name
