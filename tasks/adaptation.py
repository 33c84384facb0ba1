"""Adaptation: the corrector learns from exemplar frames, OCLR from the masks of all frames (paper 3.4, A.3)."""

from models import adaptation
from storage.keys import Artifact
from storage.writer import ArtifactWriter
from tasks.curves import training
from tasks.settings import CorrectorTrainingSettings, OclrTrainingSettings
from tasks.stage import Place, stage
from tasks.weights import get_checkpoint


@stage("adapted-corrector", version=1, gpu=True)
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
        adaptation.CorrectorClip(
            rgb=store.open(clip).array("rgb"),
            tokens=store.open(token).array("tokens"),
            masks=store.open(proposal).array("masks"),
            scores=store.open(selection).array("scores"),
            exemplars=store.open(label).array("exemplars"),
            corrected=store.open(label).array("masks"),
        )
        for clip, token, proposal, selection, label in zip(
            frames, tokens, proposals, selections, labels, strict=True
        )
    ]
    limit = store.open(selections[0]).summary["limit"]
    with training(place, out, settings.steps) as (state, on_step, publish):
        publish(
            adaptation.adapt_corrector(
                start,
                clips,
                steps=settings.steps,
                seed=seed,
                device=place.device,
                window=window,
                limit=limit,
                target=min(limit, 100),
                rate=settings.learning_rate,
                reconstruction=settings.reconstruction,
                batch=settings.batch,
                precision=settings.precision,
                state=state,
                checkpoint_every=settings.checkpoint_every,
                on_step=on_step,
                recipe={"labels": [label.key for label in labels], "start": start.settings.get("training")},
            )
        )


@stage("finetuned-oclr", version=1, gpu=True)
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
    with training(place, out, settings.steps) as (state, on_step, publish):
        publish(
            adaptation.finetune_oclr(
                start,
                clips,
                steps=settings.steps,
                seed=seed,
                device=place.device,
                frames=settings.frames,
                rate=settings.learning_rate,
                batch=settings.batch,
                precision=settings.precision,
                state=state,
                checkpoint_every=settings.checkpoint_every,
                on_step=on_step,
                recipe={"labels": [label.key for label in labels], "start": start.settings.get("training")},
            )
        )
