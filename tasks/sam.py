"""Refinement of label maps by SAM, HQ-SAM or SAM 2, at the frames' own size (paper A.3, C.4)."""

from collections.abc import Iterable, Iterator

import numpy as np

from motion_adapt.models.inference.planning import parts
from motion_adapt.models.inputs.downloads import WeightsMissing
from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH, masks_from_labels, resize_masks
from motion_adapt.models.inputs.readable import pieces
from motion_adapt.models.sam.asking import Asking
from motion_adapt.models.sam.find_sam import KINDS, SamFiles, find_sam
from motion_adapt.models.sam.refine_masks import Refined, refine_frame
from motion_adapt.models.sam.segmenter import load_segmenter
from motion_adapt.models.sam.video import carry, load_carrier
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.clips.find_clips import Clip
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.by_hand import BY_HAND, by_hand_of
from motion_adapt.tasks.native_frames import native_frames
from motion_adapt.tasks.runtime.dims import LABEL_DIMS, MASK_DIMS
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import NotKeyed, stage
from motion_adapt.tasks.settings import SamSettings


@stage("sam", version=1, gpu=True)
def refine_by_sam(
    frames: Artifact,
    masks: Artifact,
    *,
    content: str,
    settings: SamSettings,
    model: NotKeyed[str],
    clip: NotKeyed[Clip],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Refine every frame by itself.

    `masks` has the label maps, `content` identifies the files of `model`. Writes `labels` u8 (T, H', W'): 0 background,
    k + 1 for object k. The summary counts the masks for which the model was asked, and those that were kept.

    Raises:
        SourceLost: if the clip's source is gone or has changed.
        WeightsMissing: if this machine does not have the model.
    """
    store = place.open()
    files = the_files(model, content)
    segmenter = load_segmenter(files, place.device)
    asking = Asking(settings.prompt, settings.points, settings.output, settings.least_iou)
    given = store.open(masks).array("labels")

    def refined() -> Iterator[Refined]:
        for frame, labels in pieces(native_frames(store, frames, clip), given, chunk=1):
            yield refine_frame(segmenter, frame[0], labels[0], asking)

    write(refined(), len(given), files, place, out)


@stage("sam-video", version=1, gpu=True)
def carry_by_sam(
    frames: Artifact,
    masks: Artifact,
    selection: Artifact,
    *,
    content: str,
    settings: SamSettings,
    model: NotKeyed[str],
    clip: NotKeyed[Clip],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Let SAM 2 carry the masks of the exemplar frames through the clip; else as `refine_by_sam`.

    A clip of more than 104 frames is processed in parts of about 100, which are read as a whole.
    """
    store = place.open()
    files = the_files(model, content)
    carrier = load_carrier(files, place.device)
    native, given = native_frames(store, frames, clip), store.open(masks).array("labels")
    exemplars = np.asarray(store.open(selection).array("exemplars")[:])

    def carried() -> Iterator[Refined]:
        for start, stop in parts(len(given)):
            rows = slice(start, stop)
            yield from carry(carrier, native[rows], given[rows], exemplars[rows], settings.least_iou)

    write(carried(), len(given), files, place, out)


@stage("sam-labels", version=1)
def to_teach(masks: Artifact, before: Artifact, *, objects: int, place: Place, out: ArtifactWriter) -> None:
    """Bring refined label maps to the networks' size, as a correction that pseudo-labels can be made of.

    Writes `masks` bool (T, K, 128, 224), disjoint, and `by_hand` bool (T,) if some masks of `before`, which were
    refined, are by hand. The summary names the model in `refined_by`.
    """
    store = place.open()
    refined, by_hand = store.open(masks), by_hand_of(store.open(before))
    labels = refined.array("labels")
    for (block,) in pieces(labels, chunk=1):
        out.append("masks", resize_masks(masks_from_labels(block, objects), HEIGHT, WIDTH), MASK_DIMS)
    if by_hand is not None:
        out.append(BY_HAND, by_hand, ("time",))
    out.summary = {"frames": len(labels), "refined_by": refined.summary["model"]}


def the_files(model: str, content: str) -> SamFiles:
    """Find a model on this machine.

    Raises:
        WeightsMissing: if it is not there, or is another version.
    """
    files = find_sam(model)
    if files.content != content:
        raise WeightsMissing(
            f"sam.model={model}",
            megabytes=None,
            looked_in=files.folder,
            why=f"the files here are {files.content[:80]}, the run was started with {content[:80]}",
            remedies=["give all machines of the run the same files, and don't change them while it runs"],
        )
    return files


def write(refined: Iterable[Refined], total: int, files: SamFiles, place: Place, out: ArtifactWriter) -> None:
    """Write refined label maps one by one, and the summary."""
    masked = asked = kept = 0
    with track(total, f"{KINDS[files.kind]} on {place.label}") as advance:
        for found in refined:
            out.append("labels", found.labels[None], LABEL_DIMS)
            masked += bool(found.labels.any())
            asked, kept = asked + found.asked, kept + found.kept
            advance(1)
    out.summary = {
        "frames": total,
        "masked_frames": masked,
        "asked": asked,
        "kept": kept,
        "model": f"{KINDS[files.kind]} {files.content}",
    }
