"""Adaptation to single clips: a corrector for each clip, trained on its own pseudo-labels (paper A.3)."""

from motion_adapt.models.adaptation.per_clip import adapt_to_clip as adapt
from motion_adapt.models.training.course import Course
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.checkpoints import get_checkpoint
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import stage
from motion_adapt.tasks.settings import PerClipSettings
from motion_adapt.tasks.training import corrector_clip, learnt_from, parts_of, training


@stage("clip-corrector", version=3, gpu=True)
def adapt_to_clip(
    frames: Artifact,
    tokens: Artifact,
    proposal: Artifact,
    selection: Artifact,
    labels: Artifact,
    weights: Artifact,
    *,
    settings: PerClipSettings,
    dice: float,
    window: int,
    seed: int,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Adapt a corrector to one clip's pseudo-labels; the key does not depend on other clips.

    The checkpoint's training record states which step was kept, and the held-out losses that decided it.
    """
    store, start = place.open(), get_checkpoint(place, weights)
    clip = corrector_clip(store, frames, tokens, proposal, selection, labels)
    planned = Course(
        steps=settings.steps,
        seed=seed,
        rate=settings.learning_rate,
        precision=settings.precision,
    )
    with training(place, out, planned) as (course, publish):
        publish(
            adapt(
                start,
                clip,
                course,
                check_every=settings.check_every,
                patience=settings.patience,
                batch=settings.batch,
                window=window,
                **parts_of(store, selection),
                reconstruction=settings.reconstruction,
                dice=dice,
                recipe=learnt_from(store, [labels], start),
            )
        )
