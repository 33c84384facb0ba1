"""Selection AP: how well the selection ranked the proposals (paper C.1; models/scoring/ranking.py). Needs labels."""

import numpy as np

from motion_adapt.models.inputs.imaging import masks_from_labels
from motion_adapt.models.scoring.protocols import VOID, one_foreground
from motion_adapt.models.scoring.ranking import mask_ious, object_aps
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.labels.annotations import Annotations
from motion_adapt.tasks.evaluation import Labels, Protocol, label_maps
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import NotKeyed, stage


@stage("selection-scores", version=4)
def score_selection(
    proposal: Artifact,
    selection: Artifact,
    *,
    content: str,
    protocol: Protocol,
    labels: NotKeyed[Labels],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Score a selection by the IoU of the proposals at native size; `content` is `labels.content`.

    All annotated frames count, including the first and the last. Protocol `objects`: each annotated object with its
    own mask, by assignment; else the one foreground with the mask that fits it best. Void pixels do not count. The
    summary has the number of `objects` and `scores`: {"AP": mean over the objects}, or {} if no object's masks can be
    ranked.
    """
    store = place.open()
    reader = store.open(proposal)
    errors = store.open(selection).array("errors")[:]  # (T, K)
    annotations = labels.open()
    known = set(annotations.frames)
    ids = _object_ids(annotations) if protocol == "objects" else np.ones(1, np.uint8)
    rows: list[int] = []
    ious: list[np.ndarray] = []
    frames = zip(labels.frame_names, label_maps(reader, labels.size), strict=True)
    for index, (name, predicted) in enumerate(frames):
        if name not in known:
            continue
        truth = annotations.read(name)
        if protocol != "objects":
            truth = one_foreground(truth)
        predicted = np.where(truth == VOID, np.uint8(0), predicted)
        rows.append(index)
        masks = masks_from_labels(predicted[None], errors.shape[1])[0]
        ious.append(mask_ious(masks, truth == ids[:, None, None]))  # (N, K)
    aps = object_aps(-errors[rows], np.stack(ious)) if len(ids) else np.empty(0)
    out.summary = {"scores": {"AP": float(aps.mean())} if aps.size else {}, "objects": int(aps.size)}


def _object_ids(annotations: Annotations) -> np.ndarray:
    """Return the ids of the annotated objects, u8 (N,): as in `score_objects`, up to the first frame's largest."""
    of_frames = [np.unique(labels[labels != VOID]) for _, labels in annotations]
    ids = np.unique(np.concatenate(of_frames))
    return ids[(ids > 0) & (ids <= of_frames[0].max(initial=0))]
