"""Adaptation: the corrector learns from exemplar frames, OCLR from the masks of all frames (paper 3.4, A.3)."""

from motion_adapt.models.adaptation import adapt_corrector as corrector_adaptation
from motion_adapt.models.adaptation import finetune_oclr as oclr_finetuning
from motion_adapt.models.inputs.flow_estimators import flow_provenance
from motion_adapt.models.inputs.readable import Stretch
from motion_adapt.models.inputs.still_frames import stretches
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.checkpoints import get_checkpoint
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import stage
from motion_adapt.tasks.settings import CorrectorTrainingSettings, OclrTrainingSettings
from motion_adapt.tasks.training import corrector_clip, course_of, learnt_from, parts_of, training


@stage("adapted-corrector", version=5, gpu=True)
def adapt_corrector(
    frames: list[Artifact],
    tokens: list[Artifact],
    proposals: list[Artifact],
    selections: list[Artifact],
    labels: list[Artifact],
    weights: Artifact,
    *,
    settings: CorrectorTrainingSettings,
    dice: float,
    window: int,
    seed: int,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Adapt a corrector to the pseudo-labels of all clips; each list has one item per clip.

    Arrays are read from the store when a step needs them, so memory does not grow with the data set.
    """
    store, start = place.open(), get_checkpoint(place, weights)
    clips = [
        corrector_clip(store, *parts)
        for parts in zip(frames, tokens, proposals, selections, labels, strict=True)
    ]
    with training(place, out, course_of(settings, seed)) as (course, publish):
        publish(
            corrector_adaptation.adapt_corrector(
                start,
                clips,
                course,
                batch=settings.batch,
                window=window,
                **parts_of(store, selections[0]),
                reconstruction=settings.reconstruction,
                dice=dice,
                recipe=learnt_from(store, labels, start),
            )
        )


@stage("finetuned-oclr", version=2, gpu=True)
def finetune_oclr(
    flow: list[Artifact],
    labels: list[Artifact],
    weights: Artifact,
    *,
    settings: OclrTrainingSettings,
    dice: float,
    seed: int,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Fine-tune OCLR on refined masks, with flow of another gap, or of another estimator, than inference uses.

    `flow` and `labels` have one item per clip and estimator. Each stretch of frames with motion counts as a clip.
    """
    store, start = place.open(), get_checkpoint(place, weights)
    second = settings.second_flow()
    also = {"also": flow_provenance(second.estimator, second.weights)} if second else {}
    clips = [
        oclr_finetuning.OclrClip(Stretch(motion, first, last + 1), Stretch(masks, first, last + 1))
        for motion, masks, moving in (
            (
                store.open(one).array("flow"),
                store.open(other).array("masks"),
                store.open(other).array("moving")[:],
            )
            for one, other in zip(flow, labels, strict=True)
        )
        for first, last in stretches(moving)
        if last > first
    ]
    with training(place, out, course_of(settings, seed)) as (course, publish):
        publish(
            oclr_finetuning.finetune_oclr(
                start,
                clips,
                course,
                frames=settings.frames,
                batch=settings.batch,
                dice=dice,
                vary=settings.vary,
                synthetic=settings.synthetic,
                recipe=learnt_from(store, list(dict.fromkeys(labels)), start) | also,
            )
        )
