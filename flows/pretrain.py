"""Pre-train: train the networks on synthetic clips only.

    features     (if the settings use the project's own, and name no file) the same point looks the same in two frames
    OCLR         flow -> masks and order
    selector     where are OCLR's proposals, and damaged masks, wrong?
    corrector    repair them from exemplars
    validation   all of them together on synthetic clips that no training uses
    out          one checkpoint file per network, in a folder for --weights

If start weights are given, each network continues from its own. If the flow is killed and started again, it resumes
from the last state of the network that was being trained.
"""

import time
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow

from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.live_curves import enter_curves, followed
from motion_adapt.flows.run.presets import load_settings
from motion_adapt.flows.run.run import Run
from motion_adapt.flows.run.runners import DEFAULT_RUNNER, resolved
from motion_adapt.flows.run.start_weights import NETWORKS, StartWeights, find_backbones, keep_file
from motion_adapt.flows.run.tracking import Tracking
from motion_adapt.flows.run.weight_checks import is_smoke
from motion_adapt.models.pretraining.recipe import pictures_identity, require_seed, start_files
from motion_adapt.models.pretraining.variants import shapes
from motion_adapt.storage.atomic import whole_file
from motion_adapt.storage.keys import Artifact, digest, file_digest
from motion_adapt.storage.tracking import Tracker
from motion_adapt.tasks.checkpoints import FILE
from motion_adapt.tasks.pretraining import (
    CourseSettings,
    paths,
    train_features,
    train_head,
    train_oclr,
)
from motion_adapt.tasks.runtime.curves import curve_file
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import Stage
from motion_adapt.tasks.settings import NETWORK_METHODS, Settings
from motion_adapt.tasks.validation import validate

VALIDATED_ON = {"clips": 16, "frames": 12}


@flow(name="pretrain", task_runner=DEFAULT_RUNNER)
def pretrain(
    folder: str,
    settings: Settings | None = None,
    preset: str = "compact",
    place: Place = Place(),
    tracking: Tracking = Tracking(experiment="pretraining"),
    start: str | None = None,
) -> Report:
    """Train the networks and write their checkpoints to `folder`.

    Args:
        folder: folder for the checkpoint files.
        settings: all settings; if None, those of the preset and the environment. `pretrain` controls the trainings,
            `features` names the backbones that selector and corrector use, and `selection.method` the kind of selector
            to train: error_map for methods without a selector.
        preset: see `settings`.
        place: store, device and threads.
        tracking: the MLflow database and experiment of the curves.
        start: a folder with weights to continue from; a network without a file there is trained from scratch.
    """
    began = time.monotonic()
    settings = settings or load_settings(preset)
    try:
        require_seed(settings.seed)
    except ValueError as error:
        raise RunError(str(error)) from error
    place = resolved(place)
    run = Run(place)
    report = Report("pretrain", "synthetic clips")
    run.begin_record("pretrain", report.source)
    pictures = identity_of(folders_of(settings))
    begun = find_starts(run, settings, start, folder)
    tracker = tracking.open("pretraining")
    report.mlflow = {"uri": tracker.shown, "experiment": tracker.experiment}
    what = {
        "shapes": shapes_of(settings),
        **pictures,
        "start": {model: str(ref) for model, ref in begun.items()},
    }
    with tracker.kept(begin(tracker, settings, what)) as mlflow_run:
        made, tokens = train_all(run, settings, begun, pictures, tracker, mlflow_run)
        report.final = figures_of(run, settings, made, tokens, pictures)
        files = made | given_features(run, settings, made, tokens)
        run.read(partial(write_checkpoints, place, files, Path(folder)))
        for model, artifact in made.items():
            enter_curves(tracker, mlflow_run, model, run.summary(artifact)["curves"])
        tracker.log(mlflow_run, {f"validation/{name}": value for name, value in report.final.items()})
        tracker.files(mlflow_run, [Path(folder) / f"{model}.safetensors" for model in files], "checkpoints")
    report.output = folder
    report.figures = "smoke" if any(is_smoke(run.summary(ref)["settings"]) for ref in made.values()) else ""
    report.take(run)
    run.end_record()
    report.seconds["total"] = time.monotonic() - began
    return report


def folders_of(settings: Settings) -> dict[str, str]:
    """Return the folders of pictures from which clips are rendered, by kind: photos, silhouettes."""
    given = {"photos": settings.pretrain.photos, "silhouettes": settings.pretrain.silhouettes}
    return {name: folder for name, folder in given.items() if folder}


def identity_of(folders: dict[str, str]) -> dict[str, Any]:
    """Return the identity of the folders' contents.

    Raises:
        RunError: if a folder cannot be read.
    """
    try:
        return pictures_identity(**paths(folders))
    except (OSError, ValueError) as error:
        raise RunError(f"pretrain.{error}") from error


def find_starts(run: Run, settings: Settings, start: str | None, out: str) -> dict[str, Artifact]:
    """Return the weights to continue from, by network.

    Raises:
        RunError: if the folder has none, or a file is not what its name says.
    """
    if start is None:
        return {}
    models = ("features", *NETWORKS) if trains_features(settings) else NETWORKS
    try:
        files = start_files(Path(start), Path(out), models)
    except ValueError as error:
        raise RunError(f"--{error}") from error
    for model in models:
        if model not in files:
            run.warn(f"--start {start} has no {model} weights: that network is trained from scratch")
    return {model: keep_file(run, file, model) for model, file in files.items()}


def trains_features(settings: Settings) -> bool:
    """Tell whether a compact feature network is trained: one is used, and the settings name no file of it."""
    backbones = (settings.features.selector, settings.features.corrector)
    return any(used.backbone == "compact" and not used.checkpoint for used in backbones)


def shapes_of(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return, by network, its sizes (`network`) and the data of a training step (`sees`)."""
    choice, method = settings.pretrain, settings.selection.method
    return shapes(
        choice.size,
        selector=method if method in NETWORK_METHODS else "error_map",
        corrector=choice.corrector,
        background=choice.background,
        window=choice.window,
        exemplars=choice.exemplars,
        exemplars_by=choice.exemplars_by,
        batch=choice.batch,
        frames=choice.frames,
        residual=choice.residual,
    )


def train_all(
    run: Run,
    settings: Settings,
    begun: dict[str, Artifact],
    pictures: dict[str, Any],
    tracker: Tracker,
    mlflow_run: str,
) -> tuple[dict[str, Artifact], StartWeights]:
    """Train the networks, from the weights in `begun` if any. Returns them by name, and the feature networks used."""
    choice, backbones, shape = settings.pretrain, settings.features, shapes_of(settings)
    course = CourseSettings(
        steps=choice.steps,
        seed=settings.seed,
        rate=choice.rate,
        precision=choice.precision,
        checkpoint_every=choice.checkpoint_every,
        workers=choice.workers,
    )
    common = {"folders": folders_of(settings), "pictures": pictures, "course": course}
    made: dict[str, Artifact] = {}

    def train(name: str, stage: Stage, /, **arguments: Any) -> None:
        arguments = {**common, **shape[name], "start": begun.get(name), **arguments}
        state = run.place.training_state(stage.recipe({"place": run.place, **arguments}))
        with followed(tracker, mlflow_run, name, curve_file(state)):
            made[name] = run.once(stage, f"train {name}", **arguments)

    if trains_features(settings):
        train("features", train_features)
    train("oclr", train_oclr, flow=choice.flow)
    tokens = find_backbones(run, settings, None, made.get("features"))
    reads = {
        model: {"features": weights, "backbone": backbone.model_copy(update={"checkpoint": None})}
        for model, backbone, weights in (
            ("selector", backbones.selector, tokens.selector_features),
            ("corrector", backbones.corrector, tokens.corrector_features),
        )
    }
    heads = {"oclr": made["oclr"], "flow": choice.flow, "pool": choice.pool}
    judge: dict[str, Any] = {"judge": None, "judge_features": None, "judge_backbone": None}
    train("selector", train_head, model="selector", **heads, **judge, **reads["selector"])
    if choice.exemplars_by == "selector":
        judge = {"judge": made["selector"]}
        judge |= {f"judge_{name}": value for name, value in reads["selector"].items()}
    train("corrector", train_head, model="corrector", **heads, **judge, **reads["corrector"])
    return made, tokens


def figures_of(
    run: Run,
    settings: Settings,
    made: dict[str, Artifact],
    tokens: StartWeights,
    pictures: dict[str, Any],
) -> dict[str, float]:
    """Return metrics of the trained networks, by the names of `models.pretraining.validation.Validation`."""
    found = run.once(
        validate,
        "validate",
        oclr=made["oclr"],
        selector=made["selector"],
        corrector=made["corrector"],
        selector_features=tokens.selector_features,
        corrector_features=tokens.corrector_features,
        backbones=settings.features,
        exemplars_by=settings.pretrain.exemplars_by,
        **VALIDATED_ON,
        flow=settings.pretrain.flow,
        pictures=pictures,
        folders=folders_of(settings),
    )
    return run.summary(found)


def given_features(
    run: Run, settings: Settings, made: dict[str, Artifact], tokens: StartWeights
) -> dict[str, Artifact]:
    """Return the compact feature network that the settings name, by file name, if the folder is to hold it.

    A folder holds one feature network: the one just trained, or else the one that all networks read. A warning names
    the settings of others, without which later runs would read other tokens.
    """
    given = {
        f"features.{model}.checkpoint": ref
        for model, backbone, ref in (
            ("selector", settings.features.selector, tokens.selector_features),
            ("corrector", settings.features.corrector, tokens.corrector_features),
        )
        if ref and backbone.backbone == "compact" and backbone.checkpoint
    }
    alone = not made.get("features") and len(set(given.values())) == 1
    if given and not alone:
        run.warn(
            f"a folder of checkpoints holds one feature network, and not what {' and '.join(given)} set: set the same "
            "wherever these checkpoints are used"
        )
    return {"features": next(iter(given.values()))} if alone else {}


def write_checkpoints(place: Place, made: dict[str, Artifact], folder: Path) -> None:
    """Copy the checkpoints from the store to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for model, artifact in made.items():
        with whole_file(folder / f"{model}.safetensors") as temporary:
            temporary.write_bytes(place.open().open(artifact).read(FILE))


def begin(tracker: Tracker, settings: Settings, more: dict[str, Any]) -> str:
    """Begin the MLflow run of a pre-training, or resume it if the trainings are the same. Returns its id."""
    params = settings.model_dump(
        mode="json",
        include={"seed", "features", "pretrain"},
        exclude={"pretrain": {"checkpoint_every", "workers"}},
    )
    paths = [
        Path(backbone.checkpoint)
        for backbone in (settings.features.selector, settings.features.corrector)
        if backbone.checkpoint
    ]
    versions = {stage.name: stage.version for stage in (train_features, train_oclr, train_head)}
    files = [file_digest(path) for path in paths if path.is_file()]
    key = digest([params, more, versions, files])[:16]
    name = f"pretrain {time.strftime('%Y-%m-%d %H:%M')}"
    return tracker.begin(kind="pretraining", key=key, name=name, params=params)
