"""Parts shared by all training stages: resumable state, progress, curves, and publication of the checkpoint."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from motion_adapt.models.adaptation.adapt_corrector import CorrectorClip
from motion_adapt.models.networks.checkpoints import Checkpoint
from motion_adapt.models.networks.lineage import BY_HAND, TrainedOn, masks_by_hand
from motion_adapt.models.training.course import Course
from motion_adapt.models.training.state_file import StateFile
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.by_hand import by_hand_of
from motion_adapt.tasks.checkpoints import put_checkpoint
from motion_adapt.tasks.runtime.curves import Curve, curve_file, read_curve
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.settings import AdaptationSettings, ClipNetworkSettings, TrainingSettings


def learnt_from(store: ArtifactStore, labels: list[Artifact], start: Checkpoint) -> dict[str, Any]:
    """Return what a recipe says of the pseudo-labels; those refined by a model of supervised training are marked."""
    by_hand = sum(store.manifest(made).summary.get(BY_HAND, 0) for made in labels)
    told = {"labels": [made.key for made in labels], "start": start.settings.get("training")}
    told |= masks_by_hand(by_hand)
    models = sorted({name for made in labels if (name := store.manifest(made).summary.get("refined_by"))})
    return {**told, "on": TrainedOn.REFINED_PSEUDO_LABELS.value, "refined_by": models} if models else told


@contextmanager
def training(
    place: Place, out: ArtifactWriter, course: Course
) -> Iterator[tuple[Course, Callable[[Checkpoint], None]]]:
    """Yield the course with device, state file and callback, and a function that publishes the checkpoint.

    The summary gets the curves, whether or not the checkpoint is published. The stage (tasks/runtime/stage.py) deletes
    the state after its artifact was published. Until then, a training that was killed resumes from it.
    """
    state = place.training_state(out.recipe)
    for path, what in StateFile(state).faults().items():
        out.made.setdefault("warnings", []).append(
            f"training state {path.name} was damaged ({what}) and not used"
        )
    curve = Curve(curve_file(state), course.steps)
    with track(course.steps, place.label) as advance:
        shown = 0

        def on_step(step: int, terms: dict[str, float]) -> None:
            nonlocal shown
            curve.add(step, terms)
            advance(step + 1 - shown)
            shown = step + 1

        def publish(checkpoint: Checkpoint) -> None:
            put_checkpoint(out, checkpoint, state.with_suffix(".safetensors"))

        yield replace(course, device=place.device, state=state, on_step=on_step), publish
    out.summary["curves"] = read_curve(curve.path)


def course_of(settings: TrainingSettings | ClipNetworkSettings, seed: int) -> Course:
    """Return the course of a training on pseudo-labels, annotations or masks."""
    return Course(
        steps=settings.steps,
        seed=seed,
        rate=settings.learning_rate,
        precision=settings.precision,
        checkpoint_every=settings.checkpoint_every,
        cool_down=isinstance(settings, AdaptationSettings) and settings.cool_down,
    )


def corrector_clip(
    store: ArtifactStore,
    frames: Artifact,
    tokens: Artifact,
    proposal: Artifact,
    selection: Artifact,
    labels: Artifact,
) -> CorrectorClip:
    """Return one clip's training data for the corrector; its arrays are read when a step needs them."""
    label = store.open(labels)
    return CorrectorClip(
        rgb=store.open(frames).array("rgb"),
        tokens=store.open(tokens).array("tokens"),
        masks=store.open(proposal).array("masks"),
        scores=store.open(selection).array("scores"),
        exemplars=label.array("exemplars"),
        corrected=label.array("masks"),
        given=by_hand_of(label),
    )


def parts_of(store: ArtifactStore, selection: Artifact) -> dict[str, int]:
    """Return the `limit` and `target` of the parts into which a selection split its clip."""
    limit = store.open(selection).summary["limit"]
    return {"limit": limit, "target": min(limit, 100)}
