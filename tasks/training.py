"""Curves of a training: about two hundred points, kept through a kill and published with the checkpoint."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from motion_adapt.models.adaptation.adapt_corrector import CorrectorClip
from motion_adapt.models.networks.checkpoints import Checkpoint
from motion_adapt.models.training.course import Course
from motion_adapt.models.training.state_file import StateFile
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.checkpoints import put_checkpoint
from motion_adapt.tasks.runtime.curves import Curve, curve_file, read_curve
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.settings import TrainingSettings


@contextmanager
def training(
    place: Place, out: ArtifactWriter, course: Course
) -> Iterator[tuple[Course, Callable[[Checkpoint], None]]]:
    """A course at this place, with its state file and callback; and what publishes the checkpoint with its curves.

    The stage (tasks/runtime/stage.py) deletes the state once the checkpoint is published. Until then a training that
    was killed, or could not be published, resumes from it.
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
            out.summary["curves"] = read_curve(curve.path)

        yield replace(course, device=place.device, state=state, on_step=on_step), publish


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
) -> CorrectorClip:
    """What the corrector learns from in one clip; its arrays are read as the steps of the training ask for them."""
    label = store.open(labels)
    return CorrectorClip(
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
