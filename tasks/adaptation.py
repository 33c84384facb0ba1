"""Adaptation: the corrector learns from exemplar frames, OCLR from the masks of all frames (paper 3.4, A.3)."""

from models import adaptation
from models.training import Course
from storage.artifacts import ArtifactStore
from storage.keys import Artifact
from storage.writer import ArtifactWriter
from tasks.curves import training
from tasks.settings import CorrectorTrainingSettings, OclrTrainingSettings, TrainingSettings
from tasks.stage import Place, stage
from tasks.weights import get_checkpoint


def course_of(settings: TrainingSettings, seed: int) -> Course:
    """How a training on pseudo-labels, or annotations, runs."""
    return Course(
        steps=settings.steps,
        seed=seed,
        rate=settings.learning_rate,
        precision=settings.precision,
        checkpoint_every=settings.checkpoint_every,
    )


def corrector_clip(
    store: ArtifactStore,
    frames: Artifact,
    tokens: Artifact,
    proposal: Artifact,
    selection: Artifact,
    labels: Artifact,
) -> adaptation.CorrectorClip:
    """What the corrector learns from in one clip; its arrays are read as the steps of the training ask for them."""
    label = store.open(labels)
    return adaptation.CorrectorClip(
        rgb=store.open(frames).array("rgb"),
        tokens=store.open(tokens).array("tokens"),
        masks=store.open(proposal).array("masks"),
        scores=store.open(selection).array("scores"),
        exemplars=label.array("exemplars"),
        corrected=label.array("masks"),
    )


def parts_of(store: ArtifactStore, selection: Artifact) -> dict[str, int]:
    """The `limit` and `target` of the parts that a selection was made in."""
    limit = store.open(selection).summary["limit"]
    return {"limit": limit, "target": min(limit, 100)}


@stage("adapted-corrector", version=4, gpu=True)
def adapt_corrector(
    frames: list[Artifact],
    tokens: list[Artifact],
    proposals: list[Artifact],
    selections: list[Artifact],
    labels: list[Artifact],
    weights: Artifact,
    *,
    settings: CorrectorTrainingSettings,
    window: int,
    seed: int,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Go on training a corrector on the pseudo-labels of all clips; the lists go clip by clip.

    Arrays are read from the store as the steps ask for them, so memory does not grow with the data set.
    """
    store, start = place.open(), get_checkpoint(place, weights)
    clips = [
        corrector_clip(store, *parts)
        for parts in zip(frames, tokens, proposals, selections, labels, strict=True)
    ]
    with training(place, out, course_of(settings, seed)) as (course, publish):
        publish(
            adaptation.adapt_corrector(
                start,
                clips,
                course,
                batch=settings.batch,
                window=window,
                **parts_of(store, selections[0]),
                reconstruction=settings.reconstruction,
                recipe={"labels": [label.key for label in labels], "start": start.settings.get("training")},
            )
        )


@stage("finetuned-oclr", version=2, gpu=True)
def finetune_oclr(
    flow: list[Artifact],
    labels: list[Artifact],
    weights: Artifact,
    *,
    settings: OclrTrainingSettings,
    seed: int,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Go on training OCLR on refined masks, with flow of another gap than inference sees."""
    store, start = place.open(), get_checkpoint(place, weights)
    clips = [
        adaptation.OclrClip(flow=store.open(motion).array("flow"), masks=store.open(label).array("masks"))
        for motion, label in zip(flow, labels, strict=True)
    ]
    with training(place, out, course_of(settings, seed)) as (course, publish):
        publish(
            adaptation.finetune_oclr(
                start,
                clips,
                course,
                frames=settings.frames,
                batch=settings.batch,
                recipe={"labels": [label.key for label in labels], "start": start.settings.get("training")},
            )
        )
