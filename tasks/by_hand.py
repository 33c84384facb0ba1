"""Masks by hand: read them, and put them in the place of what was proposed for their frames."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH, masks_from_labels, resize_masks
from motion_adapt.storage.artifacts.reader import ArtifactReader
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.clips.find_clips import ClipError
from motion_adapt.storage.formats.label_maps import ClipMasks
from motion_adapt.storage.formats.label_rules import VOID, Background
from motion_adapt.storage.formats.masks import read_masks
from motion_adapt.storage.formats.masks_by_hand import given_content
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.names import printable
from motion_adapt.tasks.runtime.dims import LABEL_DIMS, MASK_DIMS
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import NotKeyed, stage

BY_HAND = "by_hand"  # bool (T,) in every artifact of masks that has some by hand


@stage("masks-by-hand", version=2)
def take_given(
    frames: Artifact,
    *,
    content: str,
    objects: int,
    background: Background,
    paths: NotKeyed[dict[int, str]],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Read the masks by hand of one clip, by the index of their frame; `content` is the digest of all of them.

    Label k is object k of the clip's masks, so an identity that no proposal has is a new object. A mask without a
    label says that nothing is there.

    Writes `labels` u8 (n, H', W'), as they are, and `masks` bool (n, K, 128, 224), resized as proposals are. The
    summary's `at` has the n indices.

    Raises:
        ValueError: if a mask is damaged, no mask, of another size than its frames, or has labels above `objects`.
        ClipError: if the masks no longer have the digest `content`.
    """
    size = place.open().open(frames).summary
    files = {index: Path(path) for index, path in sorted(paths.items())}
    given = ClipMasks(list(files.values()), background)
    for path, labels in zip(files.values(), read_masks(given), strict=True):
        if labels.shape != (size["height"], size["width"]):
            got, wanted = labels.shape[::-1], (size["width"], size["height"])
            raise ValueError(f"{printable(path)} is {got[0]}x{got[1]}, its frame is {wanted[0]}x{wanted[1]}")
        highest = int(labels.max())
        if highest == VOID:
            raise ValueError(
                f"{printable(path)} has pixels of value {VOID}, which are neither object nor background; decide for "
                "each pixel"
            )
        if highest > objects:
            raise ValueError(
                f"{printable(path)} has object {highest}, and objects={objects} allows 1 to {objects}; a mask may "
                "have the number of an object of another mask, or a free one"
            )
        out.append("labels", labels[None], LABEL_DIMS)
        out.append("masks", resize_masks(masks_from_labels(labels[None], objects), HEIGHT, WIDTH), MASK_DIMS)
    if given_content(files) != content:
        raise ClipError(place.label, "its masks by hand changed while they were read; run again")
    out.summary = {"at": list(files)}
    out.made["warnings"] = [f"{printable(path)} {text}" for path, text in given.notes]


@stage("proposal-by-hand", version=2)
def replace_proposals(proposal: Artifact, given: Artifact, *, place: Place, out: ArtifactWriter) -> None:
    """Write a clip's proposals with masks by hand in the place of those of their frames, and `by_hand` bool (T,)."""
    store = place.open()
    proposed, hand = store.open(proposal), store.open(given)
    at, masks = hand.summary["at"], proposed.array("masks")
    for block in with_given((rows for _, rows in masks.blocks()), hand, "masks"):
        out.append("masks", block, MASK_DIMS)
    by_hand = np.zeros(len(masks), np.bool_)
    by_hand[at] = True
    out.append(BY_HAND, by_hand, ("time",))
    if "kinds" in proposed.manifest.arrays:
        out.append("kinds", proposed.array("kinds")[:], ("time",))
    out.summary = {**proposed.summary, "by_hand": len(at)}


@stage("final-by-hand", version=1)
def put_back(masks: Artifact, given: Artifact, *, place: Place, out: ArtifactWriter) -> None:
    """Put masks by hand back in the place of what a later model made of them. Writes `labels` u8 (T, H', W')."""
    store = place.open()
    refined, hand = store.open(masks), store.open(given)
    masked = 0
    for labels in with_given((rows for _, rows in refined.array("labels").blocks()), hand, "labels"):
        masked += int(labels.any(axis=(1, 2)).sum())
        out.append("labels", labels, LABEL_DIMS)
    out.summary = {**refined.summary, "masked_frames": masked}


def by_hand_of(masks: ArtifactReader) -> NDArray[np.bool_] | None:
    """Return which frames of an artifact of masks were given by hand, bool (T,); None if none were."""
    return np.asarray(masks.array(BY_HAND)[:]) if BY_HAND in masks.manifest.arrays else None


def with_given(blocks: Iterable[NDArray[Any]], given: ArtifactReader, array: str) -> Iterator[NDArray[Any]]:
    """Yield the blocks of a clip's frames, in order, with those of an array of `take_given` in their place."""
    frames = dict(zip(given.summary["at"], given.array(array)[:], strict=True))
    done = 0
    for block in blocks:
        here = frames.keys() & range(done, done + len(block))
        if here:
            block = block.copy()
        for index in here:
            block[index - done] = frames[index]
        done += len(block)
        yield block
