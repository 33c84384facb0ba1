"""Shots: where a video is cut."""

from motion_adapt.models.inputs.cuts import find_cuts
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import stage


@stage("shots", version=1)
def look_for_cuts(frames: Artifact, *, place: Place, out: ArtifactWriter) -> None:
    """Find the cuts of a clip. The summary's `cuts` lists the first frame of every shot but the first."""
    clip = place.open().open(frames)
    out.summary = {"cuts": find_cuts(clip.array("rgb")), "frames": clip.summary["frames"]}
