"""Doubt: the few frames of a clip whose masks deserve a look most, with pictures of them."""

import io

import cv2
import numpy as np
from PIL import Image

from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH, labels_from_masks
from motion_adapt.models.quality.doubt import disagreement, inconsistency, most_doubtful
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.results.overlays import overlay
from motion_adapt.tasks.by_hand import by_hand_of
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import stage

MOST = 3  # frames that are listed per clip
_SCALE, _QUALITY = 2, 85


@stage("doubt", version=1)
def find_doubt(
    frames: Artifact,
    flow: Artifact,
    proposal: Artifact,
    correction: Artifact,
    refined: Artifact,
    *,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Find the frames of a clip to look at; `refined` are the masks from which the final ones are made.

    Writes `disagreement` and `inconsistency` f32 (T,), see `models.quality.doubt`, and a picture of each frame that is
    listed, its mask over it, as `<index>.jpg`. The summary's `doubtful` lists them, most useful first: [index, doubt,
    disagreement, inconsistency], the first being the mean of the others. Frames with masks by hand are not listed.
    """
    store = place.open()
    motion, masks = store.open(flow), store.open(refined).array("masks")
    stages = [store.open(item).array("masks") for item in (proposal, correction)]
    apart = disagreement(stages if refined == correction else [*stages, masks])
    moved = inconsistency(masks, motion.array("flow"), gap=motion.summary["gap"])
    doubt = (apart + moved) / 2
    chosen = most_doubtful(doubt, MOST, without=by_hand_of(store.open(refined)))
    rgb = store.open(frames).array("rgb")
    for index in chosen:
        labels = labels_from_masks(masks[[index]])[0]
        size = _SCALE * WIDTH, _SCALE * HEIGHT
        frame = cv2.resize(rgb[[index]][0], size, interpolation=cv2.INTER_CUBIC)
        data = io.BytesIO()
        Image.fromarray(overlay(frame, labels)).save(data, "JPEG", quality=_QUALITY)
        out.put(f"{index}.jpg", data.getvalue())
    out.append("disagreement", apart.astype(np.float32), ("time",))
    out.append("inconsistency", moved.astype(np.float32), ("time",))
    listed = [[index, *(round(float(part[index]), 4) for part in (doubt, apart, moved))] for index in chosen]
    out.summary = {"frames": len(doubt), "doubtful": listed}
