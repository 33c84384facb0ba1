"""Pre-train: the networks from nothing but synthetic clips.

    features     (where the settings use the project's own) the same point looks the same in two frames
    OCLR         flow -> masks and order
    selector     where are OCLR's proposals, and damaged masks, wrong?
    corrector    repair them from exemplars
    validation   all of them together on synthetic clips that no training sees
    out          one checkpoint file per network in a folder that --weights takes

Killed and started again, it goes on from the last state of the network it was at.
"""

import time
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow

from flows.ledger import Tracking
from flows.presets import load_settings
from flows.report import Report
from flows.run import Run, RunError
from flows.runners import DEFAULT_RUNNER
from flows.weights import NETWORK_METHODS, SMOKE_STEPS, StartWeights, find_backbones
from models.recipe import photo_identity
from models.sizes import SIZES, STEP_SIZES
from models.variants import corrector_arguments, episode_arguments, selector_arguments
from storage.keys import Artifact, digest
from storage.runs import record_run
from storage.tracking import Tracker
from storage.whole import whole_file
from tasks.pretraining import train_features, train_head, train_oclr, validate
from tasks.settings import Settings
from tasks.stage import Place
from tasks.weights import FILE

VALIDATED_ON = {"clips": 16, "frames": 12}


@flow(name="pretrain", task_runner=DEFAULT_RUNNER)
def pretrain(
    folder: str,
    settings: Settings | None = None,
    preset: str = "compact",
    place: Place = Place(),
    tracking: Tracking = Tracking(experiment="pretraining"),
) -> Report:
    """Train the networks and write their checkpoints to `folder`.

    Args:
        folder: where the checkpoint files go.
        settings: `pretrain` says how long and on what; `features` which backbones the heads are for, and
            `selection.method` which selector is trained, by methods without one that of error maps; none: those of
            the preset.
        preset: see `settings`.
        place: store, device and threads.
        tracking: where MLflow keeps the curves.
    """
    began = time.monotonic()
    settings = settings or load_settings(preset)
    place = place.resolved()
    run = Run(place)
    report = Report("pretrain", "synthetic clips")
    choice = settings.pretrain
    try:
        photos = photo_identity(Path(choice.photos)) if choice.photos else None
    except (OSError, ValueError) as error:
        raise RunError(f"pretrain.photos: {error}") from error
    sizes, steps = dict(SIZES[choice.size]), dict(STEP_SIZES[choice.size])
    method = settings.selection.method
    kind = method if method in NETWORK_METHODS else "error_map"
    sizes["selector"] = sizes["selector"] | selector_arguments(kind)
    sizes["corrector"] = sizes["corrector"] | corrector_arguments(choice.corrector, choice.background)
    steps["corrector"] = episode_arguments(
        steps["corrector"], window=choice.window, exemplars=choice.exemplars
    )
    common = {"folder": choice.photos, "photos": photos, "seed": settings.seed, "steps": choice.steps,
              "precision": choice.precision, "checkpoint_every": choice.checkpoint_every}  # fmt: skip

    made: dict[str, Artifact] = {}
    backbones = settings.features
    if "compact" in (backbones.selector.backbone, backbones.corrector.backbone):
        made["features"] = run.once(
            train_features, "train features", network=sizes["features"], sees=steps["features"], **common
        )
    made["oclr"] = run.once(
        train_oclr,
        "train OCLR",
        network=sizes["oclr"],
        sees=steps["oclr"],
        flow=choice.flow,
        **common,
    )
    tokens = find_backbones(run, settings, None, made.get("features"))
    for model, backbone, weights in (
        ("selector", backbones.selector, tokens.selector_features),
        ("corrector", backbones.corrector, tokens.corrector_features),
    ):
        made[model] = run.once(
            train_head,
            f"train {model}",
            oclr=made["oclr"],
            features=weights,
            model=model,
            backbone=backbone.model_copy(update={"checkpoint": None}),
            network=sizes[model],
            sees=steps[model],
            flow=choice.flow,
            pool=choice.pool,
            **common,
        )
    report.final = figures_of(run, settings, made, tokens, photos)

    run.read(partial(write_checkpoints, place, made, Path(folder)))
    report.output = folder
    report.figures = "smoke" if choice.steps < SMOKE_STEPS else ""
    report.take(run)
    record_run(place.open(), "pretrain", report.source, run.made)
    tracker = tracking.open("pretraining")
    report.mlflow = {"uri": tracker.uri, "experiment": tracker.experiment}
    track_curves(tracker, run, settings, made, Path(folder), report.final)
    report.seconds["total"] = time.monotonic() - began
    return report


def figures_of(
    run: Run,
    settings: Settings,
    made: dict[str, Artifact],
    tokens: StartWeights,
    photos: dict[str, Any] | None,
) -> dict[str, float]:
    """Figures of the trained networks, by the names of `models.validation.Validation`."""
    found = run.once(
        validate,
        "validate",
        oclr=made["oclr"],
        selector=made["selector"],
        corrector=made["corrector"],
        selector_features=tokens.selector_features,
        corrector_features=tokens.corrector_features,
        backbones=settings.features,
        **VALIDATED_ON,
        flow=settings.pretrain.flow,
        photos=photos,
        folder=settings.pretrain.photos,
    )
    return run.summary(found)


def write_checkpoints(place: Place, made: dict[str, Artifact], folder: Path) -> None:
    """Copy the checkpoints out of the store."""
    folder.mkdir(parents=True, exist_ok=True)
    for model, artifact in made.items():
        with whole_file(folder / f"{model}.safetensors") as beside:
            beside.write_bytes(place.open().open(artifact).read(FILE))


def track_curves(
    tracker: Tracker,
    run: Run,
    settings: Settings,
    made: dict[str, Artifact],
    folder: Path,
    figures: dict[str, float],
) -> None:
    """One MLflow run with the curves, figures and checkpoints of all networks."""
    key = digest([str(artifact) for artifact in made.values()])[:16]
    run_id = tracker.begin(
        kind="pretraining", key=key, name=f"pretrain {time.strftime('%Y-%m-%d %H:%M')}",
        params=settings.model_dump(mode="json", include={"seed", "features", "pretrain"}),
    )  # fmt: skip
    for model, artifact in made.items():
        for name, curve in run.summary(artifact)["curves"].items():
            tracker.curve(run_id, [(int(step), {f"train/{model}/{name}": value}) for step, value in curve])
    tracker.log(run_id, {f"validation/{name}": value for name, value in figures.items()})
    tracker.files(run_id, [folder / f"{model}.safetensors" for model in made], "checkpoints")
    tracker.finish(run_id)
