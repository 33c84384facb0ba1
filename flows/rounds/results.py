"""Results of a run: masks at the frames' own size, overlay videos and stage strips."""

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from motion_adapt.flows.rounds.filling import fill_clips
from motion_adapt.flows.rounds.materials import Materials
from motion_adapt.flows.rounds.state import Round
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.run import ByClip, Run, source_name
from motion_adapt.storage.artifacts.files import DamagedArtifact
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.names import printable
from motion_adapt.storage.results.export import Origin, ResultsTaken, export_clip, require_free
from motion_adapt.tasks.pictures import draw
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.settings import Settings


def draw_clips(run: Run, materials: Materials, kept: Round) -> ByClip:
    """Draw an overlay video and a stage strip of every clip. A clip whose source is gone gets none, with a warning."""
    return run.each(
        draw,
        "pictures",
        lambda name: {
            "frames": materials.frames[name],
            "flow": kept.flow_of(name, materials),
            "proposal": kept.proposal[name],
            "selection": kept.selection[name],
            "correction": kept.correction[name],
            "smoothed": kept.smoothed.get(name),
            "by_network": kept.by_network.get(name),
            "final": kept.final[name],
            "clip": run.clips[name],
        },
        forgive=True,
    )


def export_clips(run: Run, materials: Materials, kept: Round, folder: Path, settings: Settings) -> list[Path]:
    """Write indexed PNGs, an overlay video and a stage strip per clip to `folder`. Returns the strips' paths.

    With `export.fill`, the frames in between have masks too, and are in the video.

    Warns of clips without a single mask. A clip whose pictures fail, because its source is gone, gets its masks alone.
    """
    pictures = draw_clips(run, materials, kept)
    for name in run.clips:
        if run.summary(kept.final[name])["masked_frames"] == 0:
            run.warn(f"{name}: no moving object was found; its masks are empty")
    filled = fill_clips(run, materials, kept.final, settings)
    return write_clips(run, materials, kept.final, pictures, folder, filled)


def write_clips(
    run: Run,
    materials: Materials,
    final: ByClip,
    pictures: ByClip,
    folder: Path,
    filled: Mapping[str, Artifact] = MappingProxyType({}),
) -> list[Path]:
    """Write the final masks of every clip, and its pictures if it has some, to `folder`. Returns the strips' paths.

    A clip in `filled` has masks of the frames in between as well.
    """
    store, strips = run.place.open(), []
    with track(len(run.clips), "export") as advance:
        for name in list(run.clips):
            made = final[name], pictures.get(name)
            whose = origin(run, materials, name)
            write = partial(
                export_clip,
                store,
                *made,
                folder,
                name,
                materials.exported(name),
                whose,
                filled=filled.get(name),
            )
            try:
                written = run.read(write)
            except (DamagedArtifact, ResultsTaken) as error:
                run.put_aside(name, "export", error)
            else:
                strips += [written.strip] if written.strip else []
                warn_of_moved(run, name, written.moved)
            advance(1)
    return strips


def warn_of_moved(run: Run, name: str, moved: Path | None) -> None:
    """Warn that earlier results of a clip were moved, if they were."""
    if moved:
        run.warn(f"{name}: earlier results, not of these frames, were moved to {moved}")


def origin(run: Run, materials: Materials, name: str) -> Origin:
    """Return the origin of a clip's results."""
    return Origin(materials.content[name], str(run.clips[name].path.absolute()))


def results_folder(
    run: Run, materials: Materials, output: str | None, source: str, prune: int | None
) -> Path:
    """Return a folder for results in which no other clip has results under the name of one of this run's clips.

    Without `output`, if the default folder is taken, results go to `<source>-2` and so on, with a warning.

    Raises:
        RunError: if `output` is taken, or cannot be written.
    """
    first = folder = run.results
    taken: ResultsTaken | None = None
    number = 1
    while True:
        try:
            for name in run.clips:
                require_free(folder, name, origin(run, materials, name))
            break
        except ResultsTaken as error:
            if output:
                raise RunError(str(error)) from error
            taken, number = taken or error, number + 1
            folder = first.with_name(f"{first.name}-{number}")
    if taken:
        run.output = output_folder(str(folder), source, prune)
        owner = f"the results of another clip named {taken.name} ({printable(taken.owner)})"
        run.warn(f"{first} has {owner}: those of this run go to {folder}")
    return folder


def output_folder(output: str | None, source: str, prune: int | None = None) -> Path:
    """Create the folder for masks and pictures, and check before the run that it can be written.

    Raises:
        RunError: if it cannot be written.
    """
    folder = Path(output) if output else Path("motion-adapt/results") / source_name(source, prune)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written ({error.strerror}); name another with --output"
        ) from error
