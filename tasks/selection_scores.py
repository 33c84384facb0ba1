"""Selection AP: how well the selection ranked the proposals (paper C.1; models/scoring/ranking.py). Needs labels."""

import numpy as np

from motion_adapt.models.inputs.imaging import masks_from_labels
from motion_adapt.models.scoring.protocols import VOID, one_foreground
from motion_adapt.models.scoring.ranking import mask_ious, object_aps
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
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
    known, objects = set(annotations.frames), 1
    rows: list[int] = []
    ious: list[np.ndarray] = []
    frames = zip(labels.frame_names, label_maps(reader, labels.size), strict=True)
    for index, (name, predicted) in enumerate(frames):
        if name not in known:
            continue
        truth = annotations.read(name)
        if protocol != "objects":
            truth = one_foreground(truth)
        elif not rows:  # as in the protocol, the first annotated frame decides how many there are
            objects = int(truth.max(initial=0, where=truth != VOID))
        predicted = np.where(truth == VOID, np.uint8(0), predicted)
        rows.append(index)
        pair = (
            masks_from_labels(some[None], n)[0]
            for some, n in ((predicted, errors.shape[1]), (truth, objects))
        )
        ious.append(mask_ious(*pair))  # (N, K)
    aps = object_aps(-errors[rows], np.stack(ious)) if objects else np.empty(0)
    out.summary = {"scores": {"AP": float(aps.mean())} if aps.size else {}, "objects": int(aps.size)}
