"""The frames of each clip: those of a source that the settings ask for, and one clip per shot.

A video with cuts becomes several clips, `<video>#01`, `<video>#02` and so on. Optical flow, proposals and exemplars
then never cross a cut. Clips of benchmarks, and clips with annotations, are never split.
"""

from dataclasses import replace
from pathlib import Path

from motion_adapt.flows.rounds.materials import Materials, decode_clips
from motion_adapt.flows.rounds.results import warn_of_moved
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.run import Run
from motion_adapt.models.inputs.cuts import shots_between
from motion_adapt.storage.clips.find_clips import Clip, ClipError
from motion_adapt.storage.clips.videos import content_digest, frame_rate
from motion_adapt.storage.keys import digest
from motion_adapt.storage.names import shot_name
from motion_adapt.storage.results.export import Origin, ResultsTaken
from motion_adapt.storage.results.joined import join_masks
from motion_adapt.tasks.settings import Settings
from motion_adapt.tasks.shots import look_for_cuts

LEAST_FRAMES = 2  # of a shot; optical flow needs two


def take_frames(run: Run, settings: Settings) -> None:
    """Take only the frames that `frames.start`, `end`, `every` and `fps` ask for. They keep their names.

    Raises:
        RunError: if `frames.fps` is set for a folder of frames, which has no rate.
    """
    chosen = settings.frames
    for name, clip in run.clips.copy().items():
        step = chosen.every
        if chosen.fps is not None:
            try:
                rate = frame_rate(clip)
            except ClipError:
                continue  # it is set aside when it is decoded
            if rate is None:
                raise RunError(f"frames.fps: {name} states no frames per second; use frames.every (--every)")
            step = max(1, round(rate / chosen.fps))
        if (chosen.start, chosen.end, step) != (0, None, 1):
            run.clips[name] = clip.part(chosen.start, chosen.end, step)
        if step > 1:
            run.thinned[name] = clip.part(chosen.start, chosen.end), step


def split_shots(run: Run, materials: Materials, settings: Settings, *, prune: int | None) -> None:
    """Replace every clip that has cuts by its shots; a shot of a single frame is set aside.

    Args:
        run: gets the shots in the place of the clip.
        materials: get content, frames and names of the shots.
        settings: `shots=off` leaves clips as they are, and so do ready-made flow and proposals.
        prune: as in `adapt`; the few frames of a smoke run are not split.
    """
    ready_made = settings.flow.folder or settings.proposal.folder  # made for whole clips
    if settings.shots == "off" or prune or run.data_set or run.annotations or ready_made:
        return
    # A clip in which no cuts could be looked for stays whole.
    found = run.each(look_for_cuts, "cuts", lambda name: {"frames": materials.frames[name]}, forgive=True)
    split = {
        name: shots_between(cuts, run.summary(made)["frames"])
        for name, made in found.items()
        # A plan does not know the cuts of a video that was never read.
        if (cuts := run.summary(made).get("cuts"))
    }
    if not split:
        return
    clips: dict[str, Clip] = {}
    for name, clip in run.clips.items():
        if name not in split:
            clips[name] = clip
            continue
        shots = {shot_name(name, number): span for number, span in enumerate(split[name], 1)}
        names = materials.names[name]
        told = ", ".join(f"{names[start]} to {names[stop - 1]}" for start, stop in shots.values())
        run.warn(f"{name} has cuts and is split into {len(shots)} shots: {told}; shots=off keeps it whole")
        for shot, (start, stop) in shots.items():
            part = replace(clip.part(start, stop), name=shot)
            if stop - start < LEAST_FRAMES:
                run.set_aside[shot] = f"the shot has one frame, {names[start]}; it needs {LEAST_FRAMES}"
                continue
            clips[shot] = part
            if name in run.thinned:
                whole, step = run.thinned[name]
                run.thinned[shot] = replace(whole.part(start * step), name=shot), step
            run.shots.setdefault(name, []).append(shot)
    run.clips = clips
    shots_made = [shot for name in split for shot in run.shots.get(name, ())]
    for shot in shots_made:
        materials.content[shot] = content_digest(run.clips[shot])
    decode_clips(run, materials, settings, limit=None, only=shots_made)


def join_shots(run: Run, materials: Materials, folder: Path) -> None:
    """Put the masks of a video's shots together in `<folder>/masks/<video>`, under the video's own frame numbers."""
    for name, shots in run.shots.items():
        made = [shot for shot in shots if shot in run.clips]
        if not made:
            continue
        content = digest([materials.content[shot] for shot in made])
        origin = Origin(content, str(run.clips[made[0]].path.absolute()))
        try:
            moved = join_masks(folder, name, {shot: materials.exported(shot) for shot in made}, origin)
        except ResultsTaken as taken:
            run.warn(f"{name}: the masks of its shots are not put together: {taken}")
        else:
            warn_of_moved(run, name, moved)
