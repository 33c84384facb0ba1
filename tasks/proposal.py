"""Proposal: K object masks per frame from flow alone, one identity per object along the clip (paper eq. 1)."""

import numpy as np
from numpy.typing import NDArray

from motion_adapt.models.inference.pipeline import propose as propose_masks
from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH, masks_from_labels, resize_masks
from motion_adapt.models.inputs.still_frames import LEARNT, MATCHED, MOVING, frame_kinds, stretches
from motion_adapt.models.networks.precision import autocast_dtype
from motion_adapt.storage.artifacts.reader import ArtifactReader
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.formats.label_rules import Background
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.names import some
from motion_adapt.tasks.checkpoints import get_network
from motion_adapt.tasks.ready_made import ReadyMade
from motion_adapt.tasks.runtime.dims import MASK_DIMS
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import IfGiven, NotKeyed, stage
from motion_adapt.tasks.settings import Precision, ProposalSettings


@stage("proposal", version=3, gpu=True)
def propose(
    frames: Artifact,
    flow: Artifact,
    weights: Artifact,
    *,
    settings: ProposalSettings,
    precision: Precision = "float32",
    learnt_flow: IfGiven[bool] = None,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Propose masks. Writes `masks` bool (T, K, 128, 224), disjoint.

    `learnt_flow`: whether a network made the flow, which explains the pictures less closely than DIS does. The
    summary's `new_objects` lists the objects that match no object of the chunk before.
    """
    store = place.open()
    reader = store.open(flow)
    rgb, evidence = store.open(frames).array("rgb"), LEARNT if learnt_flow else MATCHED
    kinds = frame_kinds(reader.array("flow"), rgb, reader.summary["gap"], evidence)
    net = get_network(place, weights, "oclr")
    total, new = reader.summary["frames"], []
    with track(total, f"propose {place.label}") as advance:
        for block in propose_masks(
            net,
            reader.array("flow"),
            chunk=settings.chunk,
            overlap=settings.overlap,
            link_iou=settings.link_iou,
            contrast=settings.contrast,
            precision=autocast_dtype(precision),
        ):
            here = kinds[block.start : block.start + len(block.masks)]
            out.append("masks", block.masks & (here == MOVING)[:, None, None, None], MASK_DIMS)
            new += [item._asdict() for item in block.new_objects]
            advance(len(block.masks))
    out.append("kinds", kinds, ("time",))
    out.summary = {"frames": total, "new_objects": new, "without_motion": stretches(kinds != MOVING)}


def kinds_of(proposal: ArtifactReader) -> NDArray[np.uint8]:
    """Return the kind of each frame, u8 (T,), see `models.inputs.still_frames`; ready-made proposals are all MOVING."""
    if "kinds" in proposal.manifest.arrays:
        return np.asarray(proposal.array("kinds")[:])
    return np.full(proposal.summary["frames"], MOVING, np.uint8)


@stage("given-proposal", version=3)
def take_proposals(
    frames: Artifact,
    *,
    content: str,
    objects: int,
    background: Background,
    folder: NotKeyed[str],
    names: NotKeyed[tuple[str, ...]],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Read the masks of another model: `<folder>/<clip>/<frame>.png`, 0 background, k object k.

    `content` is the digest of their bytes; `storage.formats.label_rules` says how they are read. Masks are resized as
    in the reference code (bilinear map of each label, thresholded at 0.5). Labels above `objects` are dropped, as
    there, with a warning. Writes what `propose` writes.

    Raises:
        ValueError: if a mask is missing, damaged, no mask, or of another size than its frame.
        ClipError: if the masks no longer have the digest `content`.
    """
    clip, dropped = place.open().open(frames).summary, set[int]()
    size = clip["height"], clip["width"]
    given = ReadyMade(folder, place.label, names, background=background, content=content, size=size)
    for labels in given.read("take proposals"):
        dropped |= set(np.unique(labels[labels > objects]).tolist())
        out.append("masks", resize_masks(masks_from_labels(labels[None], objects), HEIGHT, WIDTH), MASK_DIMS)
    out.summary = {"frames": clip["frames"], "new_objects": []}
    notes = given.notes()
    if dropped:
        more = some([str(label) for label in sorted(dropped)])
        notes.append(f"labels {more} are dropped: objects={objects} keeps 1 to {objects}")
    out.made["warnings"] = [f"proposals of {place.label}: {note}" for note in notes]
