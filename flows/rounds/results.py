"""Results of a run: masks at the frames' own size, overlay videos and stage strips."""

import tempfile
from functools import partial
from pathlib import Path

from motion_adapt.flows.rounds.materials import Materials
from motion_adapt.flows.rounds.state import Round
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.run import Run, source_name
from motion_adapt.storage.artifacts.files import DamagedArtifact
from motion_adapt.storage.results.export import export_clip
from motion_adapt.tasks.pictures import draw
from motion_adapt.tasks.runtime.progress import track


def export_clips(run: Run, materials: Materials, kept: Round, folder: Path) -> list[Path]:
    """Write indexed PNGs, an overlay video and a stage strip per clip to `folder`. Returns the strips' paths.

    Warns of clips without a single mask.
    """
    pictures = run.each(
        draw,
        "pictures",
        lambda name: {
            "frames": materials.frames[name],
            "flow": materials.flow[name],
            "proposal": kept.proposal[name],
            "selection": kept.selection[name],
            "correction": kept.correction[name],
            "final": kept.final[name],
        },
    )
    store, strips = run.place.open(), []
    with track(len(run.clips), "export") as advance:
        for name in list(run.clips):
            if run.summary(kept.final[name])["masked_frames"] == 0:
                run.warn(f"{name}: no moving object was found; its masks are empty")
            made = kept.final[name], pictures[name]
            write = partial(export_clip, store, *made, folder, name, materials.names[name])
            try:
                strips.append(run.read(write))
            except DamagedArtifact as error:
                run.put_aside(name, "export", error)
            advance(1)
    return strips


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
