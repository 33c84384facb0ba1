"""Ready-made flow and masks are looked for before any work.

If no clip has them, the folder is another than it should be, and the run ends before it has changed anything. If some
clips lack them, these are set aside, and results that an earlier run made of them stay: they are not at fault.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from motion_adapt.flows.rounds.materials import PRUNED_FRAMES
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.run import Run
from motion_adapt.models.inputs.flow import effective_gap
from motion_adapt.storage.clips.find_clips import Clip
from motion_adapt.storage.clips.source_layout import nearby
from motion_adapt.storage.formats.flo import flow_gaps, no_flow
from motion_adapt.storage.formats.masks import mask_files
from motion_adapt.storage.names import natural_key, printable, some
from motion_adapt.tasks.settings import Settings

Lacks = Callable[
    [Path, Clip, Sequence[str] | None], str
]  # folder, clip, frames if known -> what it lacks, or ""


def require_flow(run: Run, settings: Settings, prune: int | None) -> None:
    """Check that ready-made flow at the gap of inference is there. Clips that lack it are set aside.

    Raises:
        RunError: if no clip has it.
    """
    if settings.flow.folder is None:
        return
    folder, gap = Path(settings.flow.folder), settings.gaps.inference

    def lacks(folder: Path, clip: Clip, frames: Sequence[str] | None) -> str:
        if frames is None:  # a video, whose frames are not counted yet: a short one may have a smaller gap
            there = any(0 < abs(other) <= gap for other in flow_gaps(folder, clip.name))
            return "" if there else f"no flow for gap {gap}"
        return "" if len(frames) < 2 else no_flow(folder, effective_gap(len(frames), gap), clip.name, frames)

    gaps = sorted({abs(other) for name in run.clips for other in flow_gaps(folder, name)} - {gap})
    hint = (
        f"; set gaps.inference to a gap that is there ({some([str(other) for other in gaps])})"
        if gaps
        else ""
    )
    wanted = Path(f"Flows_gap{gap}"), ".flo"
    _require(run, "flow", "flow.folder", folder, lacks, wanted=wanted, hint=hint, limit=_limit(prune))


def require_proposals(run: Run, settings: Settings, prune: int | None) -> None:
    """Check that ready-made proposals are there. Clips that lack them are set aside.

    Raises:
        RunError: if no clip has them.
    """
    if settings.proposal.folder is not None:
        folder = Path(settings.proposal.folder)
        require_masks(run, "take proposals", "proposal.folder", folder, limit=_limit(prune))


def require_masks(run: Run, stage: str, field: str, folder: Path, *, limit: int | None = None) -> None:
    """Check that `folder` has ready-made masks. Clips that lack them are set aside.

    Args:
        run: the run.
        stage: what is to read the masks, for the reason.
        field: the setting that names the folder, for the error.
        folder: the folder.
        limit: the largest number of a clip's frames that are used, or None.

    Raises:
        RunError: if no clip has masks.
    """

    def lacks(folder: Path, clip: Clip, frames: Sequence[str] | None) -> str:
        if frames is None:
            there = (folder / clip.name).is_dir() and any((folder / clip.name).glob("*.png"))
            return "" if there else f"there are no masks in {printable(folder / clip.name)}"
        missing = next((path for path in mask_files(folder, clip.name, frames) if not path.is_file()), None)
        return (
            f"{printable(missing)} is missing: every frame needs a mask, even an empty one" if missing else ""
        )

    _require(run, stage, field, folder, lacks, wanted=(Path(), ".png"), limit=limit)


def _limit(prune: int | None) -> int | None:
    return PRUNED_FRAMES if prune else None


def _require(
    run: Run,
    stage: str,
    field: str,
    folder: Path,
    lacks: Lacks,
    *,
    wanted: tuple[Path, str],
    limit: int | None,
    hint: str = "",
) -> None:
    """Set aside the clips that lack something; `wanted` is the folder of the clips' folders, and the files' suffix."""

    def lacking(folder: Path) -> dict[str, str]:
        found = {}
        for name, clip in run.clips.items():
            frames = None if clip.kind == "video" else clip.frame_names(len(clip.files))[:limit]
            if why := lacks(folder, clip, frames):
                found[name] = why
        return found

    found = lacking(folder)
    if run.clips and len(found) == len(run.clips):
        name = next(iter(run.clips))
        clip = run.clips[name]
        frame = "<frame>" if clip.kind == "video" else clip.frame_names(1)[0]
        path = wanted[0] / name / f"{frame}{wanted[1]}"
        level = next((near for near in nearby(folder) if len(lacking(near)) < len(run.clips)), None)
        meant = f"; did you mean {printable(level)}?" if level else hint
        detail = f"wanted {printable(path)}, {_found(folder, path)}"
        if (folder / path).exists():  # the first frame has what the others lack
            detail = found[name]
        raise RunError(f"{field}: {printable(folder)} fits none of the run's clips: {detail}{meant}")
    for name, why in found.items():
        run.put_aside(name, stage, ValueError(why), keep_results=True)


def _found(folder: Path, path: Path) -> str:
    """Name what is in the deepest folder of `path`, relative to `folder`, that exists."""
    there = folder
    for part in path.parts[:-1]:
        if not (there / part).is_dir():
            break
        there /= part
    entries = some([printable(entry.name) for entry in _entries(there)]) or "nothing"
    return (
        f"found {entries}"
        if there == folder
        else f"found {entries} in {printable(there.relative_to(folder))}"
    )


def _entries(folder: Path) -> list[Path]:
    try:
        found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []
    return sorted(found, key=lambda path: natural_key(path.name))
