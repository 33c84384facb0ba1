"""Masks by hand: the few frames that `selection.given` names, read once for all rounds."""

from dataclasses import dataclass, field
from pathlib import Path

from motion_adapt.flows.rounds.materials import Materials
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.run import Run
from motion_adapt.storage.clips.videos import outline
from motion_adapt.storage.formats.masks_by_hand import given_clips, given_content, given_frames, named_content
from motion_adapt.storage.keys import digest
from motion_adapt.storage.names import printable, some, whole_name
from motion_adapt.tasks.by_hand import take_given
from motion_adapt.tasks.settings import Settings


@dataclass(frozen=True)
class ByHand:
    """The folders of masks by hand by clip, and a digest of what is in them; without masks, both are empty."""

    folders: dict[str, Path] = field(default_factory=dict)
    content: dict[str, str] = field(default_factory=dict)


def find_by_hand(run: Run, settings: Settings, *, all_clips: bool) -> ByHand:
    """Find the masks by hand of the run's clips.

    Args:
        run: the run.
        settings: `selection.given` is the folder.
        all_clips: whether the run has all clips of the source. If not, masks of other clips are left out, and named in
            a warning.

    Raises:
        RunError: if the folder has something that belongs to no clip.
    """
    if settings.selection.given is None:
        return ByHand()
    folder = Path(settings.selection.given)
    known = {*run.clips, *run.set_aside}
    try:
        if not all_clips:
            others = [path.name for path in sorted(folder.iterdir()) if path.is_dir()]
            others = [name for name in others if name not in known and not name.startswith(".")]
            known.update(others)
            unused = [name for name in others if whole_name(name) not in run.clips]  # a shot's masks are used
            if unused:
                run.warn(f"masks by hand of {some(unused)} are not used: these clips are not in the run")
        folders = given_clips(folder, sorted(known))
        masked = any(named_content(path) for path in folders.values())
        folders = {name: path for name, path in folders.items() if whole_name(name) in run.clips}
        content = {name: digest(masks) for name, path in folders.items() if (masks := named_content(path))}
    except (OSError, ValueError) as error:
        raise RunError(f"selection.given: {error}") from error
    if not masked:
        wanted = f"{next(iter(sorted(known)))}/<frame>.png"
        raise RunError(f"selection.given: {printable(folder)} has no masks: wanted {wanted} for some frames")
    return ByHand({name: folders[name] for name in content}, content)


def add_by_hand(run: Run, materials: Materials, settings: Settings, found: ByHand, *, pruned: bool) -> None:
    """Read the masks by hand. A clip with a mask that cannot be used is set aside.

    Args:
        run: the run.
        materials: get the masks.
        settings: of the run.
        found: from `find_by_hand`.
        pruned: whether the run has only the first frames of its clips; masks of the others are left out.
    """
    masks: dict[str, dict[int, Path]] = {}
    for name in list(run.clips):
        try:
            of_clip = _masks_of(run, materials, found, name, pruned=pruned)
        except ValueError as error:
            run.put_aside(name, "masks by hand", error, keep_results=True)
            continue
        if of_clip:
            masks[name] = of_clip
    materials.given = run.each(
        take_given,
        "masks by hand",
        lambda name: {
            "frames": materials.frames[name],
            "content": given_content(masks[name]),
            "objects": settings.objects,
            "background": settings.mask_background,
            "paths": {at: str(path) for at, path in masks[name].items()},
        },
        only=list(masks),
        keep_results=True,
    )
    materials.by_hand = {
        name: tuple(materials.names[name][at] for at in masks[name]) for name in materials.given
    }


def _masks_of(run: Run, materials: Materials, found: ByHand, name: str, *, pruned: bool) -> dict[int, Path]:
    """Return the masks of a clip by the index of their frame, from its own folder and from that of its video.

    Raises:
        ValueError: if a file is no mask of a frame.
    """
    names = materials.names[name]
    index_of, masks = {frame: index for index, frame in enumerate(names)}, dict[int, Path]()
    for owner in (_video_of(run, name), name):
        if owner in found.folders:
            every = materials.names[owner]
            if pruned and owner == name:
                whole = run.clips[name]
                stated = outline(whole).frames  # 0 if a video states no number
                every = whole.frame_names(max(stated, len(every)))
            given = given_frames(found.folders[owner], every)
            masks |= {index_of[every[at]]: path for at, path in given.items() if every[at] in index_of}
    return dict(sorted(masks.items()))


def _video_of(run: Run, name: str) -> str:
    """Return the video that a clip is a shot of, or an empty text."""
    return next((video for video, shots in run.shots.items() if name in shots), "")
