"""List the frames of a run that deserve a look, with the reason and a picture of each."""

from functools import partial
from pathlib import Path

from motion_adapt.flows.rounds.materials import Materials
from motion_adapt.flows.rounds.state import Round
from motion_adapt.flows.run.run import ByClip, Run
from motion_adapt.storage.results.doubtful import DoubtfulFrame, write_doubtful
from motion_adapt.tasks.doubt import find_doubt


def doubt_clips(run: Run, materials: Materials, kept: Round) -> ByClip:
    """Find the most doubtful frames of every clip."""
    refined = kept.refined
    return run.each(
        find_doubt,
        "doubtful frames",
        lambda name: {
            "frames": materials.frames[name],
            "flow": materials.flow[name],
            "proposal": kept.proposal[name],
            "correction": kept.correction[name],
            "refined": refined[name],
        },
        forgive=True,  # the masks are there all the same
    )


def list_doubtful(
    run: Run, materials: Materials, kept: Round, folder: Path
) -> tuple[list[DoubtfulFrame], dict[str, list[Path]]]:
    """Find the most doubtful frames of every clip and write them to `folder`; see `storage.results.doubtful`.

    Returns the frames, clip by clip, and the paths of their pictures by clip.
    """
    made = doubt_clips(run, materials, kept)
    found: list[DoubtfulFrame] = []
    pictures: dict[str, dict[str, bytes]] = {name: {} for name in made}
    store = run.place.open()
    for name, artifact in made.items():
        for index, doubt, apart, moved in run.summary(artifact)["doubtful"]:
            frame = materials.names[name][index]
            found.append(DoubtfulFrame(name, frame, doubt, reason(apart, moved), f"masks/{name}/{frame}.png"))
            read = partial(store.open(artifact).read, f"{index}.jpg")
            pictures[name][frame] = run.read(read)
    return found, write_doubtful(folder, found, pictures)


def reason(apart: float, moved: float) -> str:
    """Return in words why a frame is doubtful: the larger of its disagreement and its inconsistency, in [0, 1]."""
    if apart >= moved:
        return f"proposal, correction and final mask differ in {apart:.0%} of what they cover"
    return f"{moved:.0%} of the mask do not fit the neighbouring frames' masks along the flow"
