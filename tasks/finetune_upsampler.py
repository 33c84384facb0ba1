"""Supervised fine-tuning of the corrector's upsampler: the one training that opens annotations (paper, Table 16)."""

import numpy as np

from motion_adapt.models.adaptation.finetune_upsampler import LabelledClip, finetune_upsampler, true_masks
from motion_adapt.models.inference.planning import correctable
from motion_adapt.models.inputs.imaging import masks_from_labels, resize_masks
from motion_adapt.models.scoring.protocols import VOID, one_foreground
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.checkpoints import get_checkpoint
from motion_adapt.tasks.evaluation import Labels, Protocol
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import NotKeyed, stage
from motion_adapt.tasks.settings import UpsamplerTrainingSettings
from motion_adapt.tasks.training import course_of, parts_of, training


@stage("finetuned-upsampler", version=3, gpu=True)
def finetune(
    frames: list[Artifact],
    tokens: list[Artifact],
    proposals: list[Artifact],
    selections: list[Artifact],
    weights: Artifact,
    *,
    content: list[str],
    labels: NotKeyed[list[Labels]],
    protocol: Protocol,
    settings: UpsamplerTrainingSettings,
    window: int,
    seed: int,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Fine-tune the upsampler on annotated frames. Lists have one item per clip; `content` is the labels' content.

    The summary's `annotated_frames` counts the annotated frames of each clip. Those in a part without exemplars, where
    nothing moves, teach nothing.
    """
    store, start = place.open(), get_checkpoint(place, weights)
    clips, counts = [], []
    for clip, token, proposal, selection, annotated in zip(
        frames, tokens, proposals, selections, labels, strict=True
    ):
        masks = store.open(proposal).array("masks")
        truth = read_truth(annotated, protocol, (masks.shape[-2], masks.shape[-1]))
        corrected, known = true_masks(masks, truth)
        counts.append(len(truth))
        marks = np.asarray(store.open(selection).array("exemplars")[:], bool)
        known &= correctable(marks, np.zeros(len(marks), bool), **parts_of(store, selection))[:, None]
        if known.any():
            clips.append(
                LabelledClip(
                    rgb=store.open(clip).array("rgb"),
                    tokens=store.open(token).array("tokens"),
                    masks=masks,
                    scores=store.open(selection).array("scores"),
                    exemplars=marks,
                    corrected=corrected,
                    annotated=known,
                )
            )
    out.summary["annotated_frames"] = counts
    with training(place, out, course_of(settings, seed)) as (course, publish):
        publish(
            finetune_upsampler(
                start,
                clips,
                course,
                batch=settings.batch,
                window=window,
                **parts_of(store, selections[0]),
                recipe={"labels": content, "start": start.settings.get("training")},
            )
        )


def read_truth(labels: Labels, protocol: Protocol, size: tuple[int, int]) -> dict[int, np.ndarray]:
    """Return the true masks bool (N, H, W) of the annotated frames at size (H, W), by frame index.

    Protocol `objects`: one mask per id in the first annotated frame. Else there is one foreground mask. Void pixels
    belong to no mask.
    """
    annotations = labels.open()
    index = {name: place for place, name in enumerate(labels.frame_names)}
    found: dict[int, np.ndarray] = {}
    objects = 1
    for name, truth in annotations:
        if protocol != "objects":
            truth = one_foreground(truth)
        elif not found:
            objects = int(truth.max(initial=0, where=truth != VOID))
        found[index[name]] = resize_masks(masks_from_labels(truth[None], objects)[0], *size)
    return found if objects else {}
