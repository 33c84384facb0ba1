"""Masks of the frames between those that `frames.every` or `frames.fps` take, if `export.fill` asks for them."""

from typing import Any

from motion_adapt.flows.rounds.materials import Materials
from motion_adapt.flows.run.run import ByClip, Run
from motion_adapt.storage.clips.find_clips import Clip, ClipError
from motion_adapt.storage.clips.videos import content_digest
from motion_adapt.tasks.filling import fill
from motion_adapt.tasks.settings import Settings


def fill_clips(run: Run, materials: Materials, final: ByClip, settings: Settings) -> ByClip:
    """Carry the final masks to the frames in between, from a clip's first to its last one with a mask.

    A clip of which every frame is taken is left out. So is one whose other frames cannot be read, with a warning.
    """
    if not settings.export.fill:
        return {}
    wholes: dict[str, tuple[Clip, str]] = {}
    for name in run.clips:
        if name in run.thinned:
            clip, step = run.thinned[name]
            whole = clip.part(0, (len(materials.names[name]) - 1) * step + 1)
            try:
                wholes[name] = whole, content_digest(whole)
            except ClipError as error:
                run.warn(f"no masks in between: {error}")

    def arguments(name: str) -> dict[str, Any]:
        whole, content = wholes[name]
        return {
            "frames": materials.frames[name],
            "final": final[name],
            "content": content,
            "step": run.thinned[name][1],
            "whole": whole,
        }

    made = run.each(fill, "masks in between", arguments, only=list(wholes), forgive=True)
    for name in made:
        taken = len(materials.names[name])
        count = (taken - 1) * run.thinned[name][1] + 1
        materials.filled[name] = wholes[name][0].frame_names(count)
        run.filled[name] = count - taken
    return made
