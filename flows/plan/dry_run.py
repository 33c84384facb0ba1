"""A run that computes nothing: every stage is looked up in the store, and counted if it is missing.

It goes through the same functions as a real run, with stand-ins for what the store does not have. A stand-in has the
key that the artifact will have, so that what follows from it is looked up too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from motion_adapt.flows.run.run import Run
from motion_adapt.flows.run.stage_execution import Call
from motion_adapt.storage.artifacts.manifest import ArrayEntry, Manifest
from motion_adapt.storage.clips.find_clips import ClipError
from motion_adapt.storage.clips.videos import Outline, outline
from motion_adapt.storage.keys import Artifact, Recipe
from motion_adapt.tasks.checkpoints import weights_summary

PLANNED = "planned"  # the attempt of a stand-in


@dataclass(frozen=True)
class Piece:
    """One artifact that a run needs.

    Attributes:
        recipe: its recipe.
        clip: the clip's name, or what else it is about.
        stored: whether the store has it.
        gpu: whether the stage computes on the run's device.
    """

    recipe: Recipe
    clip: str
    stored: bool
    gpu: bool


@dataclass
class DryRun(Run):
    """A run over the clips of a source that only looks."""

    pieces: dict[str, Piece] = field(default_factory=dict)  # by "stage/key"
    outlines: dict[str, Outline] = field(default_factory=dict)  # by clip
    complete: bool = True  # whether every stage of the run could be looked up
    _known: dict[str, dict[str, Any]] = field(default_factory=dict)  # summaries of stand-ins

    def submit(self, call: Call) -> Any:
        """Look an artifact up; return it, or a stand-in."""
        recipe = call.stage.recipe(call.arguments)
        found = self.place.open().find(recipe)
        made = found or Artifact(stage=recipe.stage, key=recipe.key, attempt=PLANNED, digest="")
        label = call.arguments["place"].label
        self._outline_shot(label)
        self.pieces.setdefault(
            str(made), Piece(recipe, label, found is not None, call.stage.uses_gpu(call.arguments))
        )
        if not found:
            self._known[str(made)] = self._expected(recipe.stage, label, call.arguments)
        return made

    def collect(self, call: Call, future: Any) -> Artifact | BaseException:
        """Return what `submit` found."""
        made: Artifact = future
        return made

    def manifest(self, artifact: Artifact) -> Manifest:
        """Return the manifest of an artifact; a stand-in has only a summary."""
        if artifact.attempt != PLANNED:
            return super().manifest(artifact)
        native = ArrayEntry(
            shape=(), dtype="uint8", dims=(), chunk_rows=0, shard_rows=0, digest="", stored=False
        )
        return Manifest(
            stage=artifact.stage,
            version=0,
            key=artifact.key,
            attempt=PLANNED,
            settings={},
            inputs={},
            arrays={"native": native} if artifact.stage == "frames" else {},
            files={},
            payload={},
            summary=self._known[str(artifact)],
            made={},
        )

    def put_aside(self, name: str, stage: str, error: BaseException, *, keep_results: bool = False) -> None:
        """Set a clip aside without printing or moving anything."""
        self.clips.pop(name)
        self.set_aside[name] = error.reason if isinstance(error, ClipError) else f"{stage}: {error}"

    def warn(self, text: str) -> None:
        """Keep a warning for the report."""
        if text not in self.warnings:
            self.warnings.append(text)

    def look_at(self, name: str, limit: int | None) -> None:
        """Read what a clip's file says of its size. A clip that cannot be read is set aside."""
        try:
            self.outlines[name] = outline(self.clips[name], limit=limit)
        except (ClipError, OSError) as error:
            self.put_aside(name, "frames", error)

    def _outline_shot(self, name: str) -> None:
        """Give a shot its outline. Cuts are known of stored frames only, so its video's outline is exact."""
        if name in self.outlines:
            return
        video = next((video for video, shots in self.shots.items() if name in shots), None)
        if video is None:  # not a shot, but what a stage for all clips is about
            return
        whole, shot = self.outlines[video], self.clips[name]
        start, stop, step = shot.taken  # a shot of a video always has an end
        frames = len(shot.files) if shot.kind == "frames" else len(range(start, stop or start, step))
        share = whole.bytes * frames // whole.frames
        self.outlines[name] = Outline(frames, whole.height, whole.width, share)

    def _expected(self, stage: str, clip: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the summary that a stage would write, as far as later stages read it: nothing goes wrong."""
        if stage == "weights":
            return weights_summary(arguments["path"])
        known: dict[str, Any] = {"used": True, "without_motion": [], "measures": {"quality": 1.0}}
        known |= {"asked": 0, "kept": 0, "fit": None}
        if clip in self.outlines:
            known |= {"frames": self.outlines[clip].frames, "labelled_frames": self.outlines[clip].frames}
        return known
