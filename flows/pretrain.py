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

from prefect import Task, flow

from flows.following import enter_curves, followed
from flows.ledger import Tracking
from flows.presets import load_settings
from flows.report import Report
from flows.run import Run, RunError
from flows.runners import DEFAULT_RUNNER
from flows.weights import NETWORK_METHODS, SMOKE_STEPS, StartWeights, find_backbones
from models.recipe import pictures_identity
from models.sizes import SIZES, STEP_SIZES
from models.variants import corrector_arguments, episode_arguments, selector_arguments
from storage.keys import Artifact, digest, file_digest
from storage.runs import record_run
from storage.tracking import Tracker
from storage.whole import whole_file
from tasks.curves import curve_file
from tasks.pretraining import train_features, train_head, train_oclr, validate
from tasks.settings import Settings
from tasks.stage import Place, plan_of, recipe_of
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
    pictures = identity_of(folders_of(settings))
    shapes = shapes_of(settings)
    tracker = tracking.open("pretraining")
    report.mlflow = {"uri": tracker.uri, "experiment": tracker.experiment}
    with tracker.kept(begin(tracker, settings, {"shapes": shapes, **pictures})) as mlflow_run:
        made, tokens = train_all(run, settings, shapes, pictures, tracker, mlflow_run)
        report.final = figures_of(run, settings, made, tokens, pictures)
        run.read(partial(write_checkpoints, place, made, Path(folder)))
        for model, artifact in made.items():
            enter_curves(tracker, mlflow_run, model, run.summary(artifact)["curves"])
        tracker.log(mlflow_run, {f"validation/{name}": value for name, value in report.final.items()})
        tracker.files(mlflow_run, [Path(folder) / f"{model}.safetensors" for model in made], "checkpoints")
    report.output = folder
    report.figures = "smoke" if settings.pretrain.steps < SMOKE_STEPS else ""
    report.take(run)
    record_run(place.open(), "pretrain", report.source, run.made)
    report.seconds["total"] = time.monotonic() - began
    return report


def folders_of(settings: Settings) -> dict[str, str]:
    """The folders that clips are made of, by what they hold."""
    given = {"photos": settings.pretrain.photos, "silhouettes": settings.pretrain.silhouettes}
    return {name: folder for name, folder in given.items() if folder}


def identity_of(folders: dict[str, str]) -> dict[str, Any]:
    """What they hold.

    Raises:
        RunError: where one can't be read.
    """
    photos, silhouettes = (
        Path(folders[name]) if name in folders else None for name in ("photos", "silhouettes")
    )
    try:
        return pictures_identity(photos, silhouettes)
    except (OSError, ValueError) as error:
        raise RunError(f"pretrain.{error}") from error


def shapes_of(settings: Settings) -> dict[str, dict[str, Any]]:
    """By network: its sizes (`network`) and what a step of its training `sees`."""
    choice, method = settings.pretrain, settings.selection.method
    sizes, sees = dict(SIZES[choice.size]), dict(STEP_SIZES[choice.size])
    kind = method if method in NETWORK_METHODS else "error_map"
    sizes["selector"] = sizes["selector"] | selector_arguments(kind)
    sizes["corrector"] = sizes["corrector"] | corrector_arguments(choice.corrector, choice.background)
    sees["corrector"] = episode_arguments(sees["corrector"], window=choice.window, exemplars=choice.exemplars)
    return {model: {"network": sizes[model], "sees": sees[model]} for model in sizes}


def train_all(
    run: Run,
    settings: Settings,
    shapes: dict[str, dict[str, Any]],
    pictures: dict[str, Any],
    tracker: Tracker,
    mlflow_run: str,
) -> tuple[dict[str, Artifact], StartWeights]:
    """The trained networks by name, and the feature networks that the heads are for."""
    choice, backbones = settings.pretrain, settings.features
    common = {"folders": folders_of(settings), "pictures": pictures, "seed": settings.seed, "steps": choice.steps,
              "precision": choice.precision, "checkpoint_every": choice.checkpoint_every}  # fmt: skip
    made: dict[str, Artifact] = {}

    def train(name: str, task: Task[..., Artifact], /, **arguments: Any) -> None:
        arguments = {**common, **shapes[name], **arguments}
        state = run.place.training_state(recipe_of(task, {"place": run.place, **arguments}))
        with followed(tracker, mlflow_run, name, curve_file(state)):
            made[name] = run.once(task, f"train {name}", **arguments)

    if "compact" in (backbones.selector.backbone, backbones.corrector.backbone):
        train("features", train_features)
    train("oclr", train_oclr, flow=choice.flow)
    tokens = find_backbones(run, settings, None, made.get("features"))
    for model, backbone, weights in (
        ("selector", backbones.selector, tokens.selector_features),
        ("corrector", backbones.corrector, tokens.corrector_features),
    ):
        train(
            model,
            train_head,
            oclr=made["oclr"],
            features=weights,
            model=model,
            backbone=backbone.model_copy(update={"checkpoint": None}),
            flow=choice.flow,
            pool=choice.pool,
        )
    return made, tokens


def figures_of(
    run: Run,
    settings: Settings,
    made: dict[str, Artifact],
    tokens: StartWeights,
    pictures: dict[str, Any],
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
        pictures=pictures,
        folders=folders_of(settings),
    )
    return run.summary(found)


def write_checkpoints(place: Place, made: dict[str, Artifact], folder: Path) -> None:
    """Copy the checkpoints out of the store."""
    folder.mkdir(parents=True, exist_ok=True)
    for model, artifact in made.items():
        with whole_file(folder / f"{model}.safetensors") as beside:
            beside.write_bytes(place.open().open(artifact).read(FILE))


def begin(tracker: Tracker, settings: Settings, more: dict[str, Any]) -> str:
    """The MLflow run of a pre-training, the same one for the same trainings."""
    params = settings.model_dump(mode="json", include={"seed", "features", "pretrain"})
    paths = [
        Path(backbone.checkpoint)
        for backbone in (settings.features.selector, settings.features.corrector)
        if backbone.checkpoint
    ]
    versions = {plan.name: plan.version for plan in map(plan_of, (train_features, train_oclr, train_head))}
    files = [file_digest(path) for path in paths if path.is_file()]
    key = digest([params, more, versions, files])[:16]
    name = f"pretrain {time.strftime('%Y-%m-%d %H:%M')}"
    return tracker.begin(kind="pretraining", key=key, name=name, params=params)
