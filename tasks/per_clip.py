"""Adaptation to single clips: a corrector for each, from its own pseudo-labels (paper A.3)."""

from models.adaptation import CorrectorClip
from models.per_clip import adapt_to_clip as adapt
from storage.keys import Artifact
from storage.writer import ArtifactWriter
from tasks.curves import training
from tasks.settings import PerClipSettings
from tasks.stage import Place, stage
from tasks.weights import get_checkpoint


@stage("clip-corrector", version=1, gpu=True)
def adapt_to_clip(
    frames: Artifact,
    tokens: Artifact,
    proposal: Artifact,
    selection: Artifact,
    labels: Artifact,
    weights: Artifact,
    *,
    settings: PerClipSettings,
    window: int,
    seed: int,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Go on training a corrector on one clip's pseudo-labels; the key is the clip's own.

    The summary's training says which step was kept, and the held-out losses that decided it.
    """
    store, start = place.open(), get_checkpoint(place, weights)
    label = store.open(labels)
    clip = CorrectorClip(
        rgb=store.open(frames).array("rgb"),
        tokens=store.open(tokens).array("tokens"),
        masks=store.open(proposal).array("masks"),
        scores=store.open(selection).array("scores"),
        exemplars=label.array("exemplars"),
        corrected=label.array("masks"),
    )
    limit = store.open(selection).summary["limit"]
    with training(place, out, settings.steps) as (state, on_step, publish):
        publish(
            adapt(
                start,
                clip,
                steps=settings.steps,
                check_every=settings.check_every,
                patience=settings.patience,
                seed=seed,
                device=place.device,
                batch=settings.batch,
                window=window,
                limit=limit,
                target=min(limit, 100),
                rate=settings.learning_rate,
                reconstruction=settings.reconstruction,
                precision=settings.precision,
                state=state,
                on_step=on_step,
                recipe={"labels": [labels.key], "start": start.settings.get("training")},
            )
        )
