"""Start weights: found once per run, imported into the store, and checked against each other and the settings."""

import shlex
import tempfile
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

from motion_adapt import models
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.run import Run
from motion_adapt.flows.run.weight_checks import is_smoke, require_fit, require_precision
from motion_adapt.models.networks.checkpoints import build_network
from motion_adapt.models.networks.foreign_files import foreign
from motion_adapt.models.networks.lineage import by_hand_text, is_supervised, learnt_by_hand
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.registry import Registry
from motion_adapt.storage.tracking import START_TAG, Tracker
from motion_adapt.tasks.checkpoints import get_checkpoint, keep_weights, weights_content
from motion_adapt.tasks.settings import NETWORK_METHODS, BackboneSettings, Settings

NETWORKS = ("oclr", "selector", "corrector")
SHIPPED = Path(models.__file__).parent / "weights"


@dataclass(frozen=True)
class StartWeights:
    """The networks of a run. A feature network without an artifact has timm's own pretrained weights.

    `clip_network` is the shared network that clip networks start from; None if they start from random weights.
    """

    oclr: Artifact | None = None
    selector: Artifact | None = None
    corrector: Artifact | None = None
    selector_features: Artifact | None = None
    corrector_features: Artifact | None = None
    clip_network: Artifact | None = None

    def keys(self) -> dict[str, str | None]:
        """Return the artifact of each network as text, or None, by field name."""
        return {item.name: str(ref) if (ref := getattr(self, item.name)) else None for item in fields(self)}

    def by_hand(self, run: Run) -> int:
        """Return the most masks by hand that one of the networks learnt from."""
        return max((learnt_by_hand(run.summary(ref)["settings"]) for ref in self.learnt.values()), default=0)

    @property
    def networks(self) -> dict[str, Artifact]:
        """The trained networks of the run; there is no OCLR if proposals are ready-made."""
        return {model: ref for model in NETWORKS if (ref := getattr(self, model))}

    @property
    def learnt(self) -> dict[str, Artifact]:
        """All networks that make masks, by name: the trained ones and the start of the clip networks."""
        return self.networks | ({"clip_network": self.clip_network} if self.clip_network else {})

    def need(self, model: str) -> Artifact:
        """Return the artifact of a network that the flow needs.

        Raises:
            RunError: if the run does not have it.
        """
        found: Artifact | None = getattr(self, model)
        if found is None:
            raise RunError(f"this run has no {model}")
        return found

    def with_(self, **networks: Artifact) -> "StartWeights":
        """Return the weights with some networks replaced."""
        return replace(self, **networks)

    def files(self, settings: Settings) -> dict[str, Artifact]:
        """Return the networks by file name, as in a folder for --weights, without feature files of the user's own."""
        files = self.learnt
        for backbone, features in (
            (settings.features.selector, self.selector_features),
            (settings.features.corrector, self.corrector_features),
        ):
            if features and not backbone.checkpoint:
                files["features"] = features
        return files


def require_one_start(weights: str | None, from_champion: bool) -> None:
    """Check that a run was not given two sources of start weights.

    Raises:
        RunError: if it was.
    """
    if weights and from_champion:
        raise RunError(f"weights '{weights}' and from_champion exclude each other: name one start")


def find_weights(run: Run, settings: Settings, preset: str, folder: Path | None) -> StartWeights:
    """Return the start weights of a run: those in `folder`, else those that ship with the preset.

    Raises:
        RunError: if a file is missing, is not what its name says, or disagrees with the settings.
    """
    weights = named_weights(run, settings, preset, folder)
    _check(run, settings, weights)
    return weights


def named_weights(run: Run, settings: Settings, preset: str, folder: Path | None) -> StartWeights:
    """Return what `find_weights` does, without checking the networks against the settings.

    Raises:
        RunError: if a file is missing, or is not what its name says.
    """
    where = folder or SHIPPED / preset
    if not where.is_dir():
        if folder:
            raise RunError(f"--weights {folder}: there is no such folder")
        raise RunError(
            f"no weights ship with the preset '{preset}'. Name a folder with --weights DIR; to make one, import the "
            f"authors' checkpoints (motion-adapt import-checkpoint) or train:\n"
            f"  motion-adapt pretrain --preset {preset} --out DIR"
        )
    found = {name: keep_file(run, where / f"{name}.safetensors", name) for name in wanted(settings)}
    return replace(
        find_backbones(run, settings, where), clip_network=find_shared_network(run, settings, where), **found
    )


def find_backbones(
    run: Run, settings: Settings, folder: Path | None, compact: Artifact | None = None
) -> StartWeights:
    """Return the feature networks only; `compact` is the project's own if the run has just trained it."""
    return StartWeights(
        selector_features=_backbone(run, settings.features.selector, "features.selector", folder, compact),
        corrector_features=_backbone(run, settings.features.corrector, "features.corrector", folder, compact),
    )


def _backbone(
    run: Run, backbone: BackboneSettings, field: str, folder: Path | None, compact: Artifact | None
) -> Artifact | None:
    if backbone.checkpoint:
        return keep_file(run, Path(backbone.checkpoint), None, f"{field}.checkpoint")
    if backbone.backbone != "compact":
        return None  # timm loads its own pretrained weights by name
    if compact:
        return compact
    where = folder or SHIPPED / "compact"
    return keep_file(run, where / "features.safetensors", "features")


def find_shared_network(run: Run, settings: Settings, folder: Path | None = None) -> Artifact | None:
    """Return the network that clip networks start from: that of `folder`, else the one that ships; None if none do.

    Raises:
        RunError: if the file is no such network.
    """
    file = shared_network_file(settings, folder)
    return keep_file(run, file, "clip-network") if file else None


def shared_network_file(settings: Settings, folder: Path | None = None) -> Path | None:
    """Return the file of `find_shared_network`; None if clip networks do not start from one."""
    if not (settings.clip_network.enabled and settings.clip_network.start == "shared"):
        return None
    own = folder / "clip_network.safetensors" if folder else None
    return own if own and own.is_file() else SHIPPED / "compact" / "clip_network.safetensors"


def keep_file(run: Run, path: Path, model: str | None, field: str = "") -> Artifact:
    """Import a weight file.

    Raises:
        RunError: if it is missing, or is not a checkpoint of `model`.
    """
    if not path.is_file():
        if not model:
            raise RunError(f"{field}: there is no file {path}")
        raise RunError(
            f"the {model} weights: there is no file {path}. 'motion-adapt pretrain --out "
            f"{shlex.quote(str(path.parent))}' trains the project's own"
        )
    try:
        what = foreign(path)
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror})") from error
    if what:
        raise RunError(f"{path} {what}")
    made = run.once(keep_weights, f"import {path.name}", content=weights_content(path), path=str(path))
    found = run.summary(made)["model"]
    if model and found == "file":
        raise RunError(f"{path} is damaged, or no checkpoint of this project")
    if model and found != model:
        raise RunError(f"{path} is a checkpoint of the {found}, wanted the {model}")
    return made


def wanted(settings: Settings) -> tuple[str, ...]:
    """Return the names of the networks that a run with these settings needs."""
    unused = set()
    if settings.proposal.folder is not None:
        unused.add("oclr")
    if settings.selection.method not in NETWORK_METHODS:
        unused.add("selector")
    return tuple(model for model in NETWORKS if model not in unused)


def _check(run: Run, settings: Settings, weights: StartWeights) -> None:
    """Check that a run can use these weights; warn about those trained with labels."""
    require_precision(settings, run.place.device)
    learnt = {model: run.summary(ref)["settings"] for model, ref in weights.learnt.items()}
    require_fit(settings, {model: learnt[model] for model in weights.networks})
    for model, ref in weights.networks.items():
        try:
            build_network(run.read(partial(get_checkpoint, run.place, ref)), expect=model)
        except ValueError as error:
            raise RunError(str(error)) from error
    for model, how in learnt.items():
        try:
            supervised, by_hand = is_supervised(how), learnt_by_hand(how)
        except ValueError as error:
            raise RunError(f"{model} weights: {error}") from error
        named = "network that clip networks start from" if model == "clip_network" else model
        if supervised:
            run.warn(
                f"the {named} was trained with annotations, directly or through masks refined by SAM: its results are "
                "not label-free"
            )
        if by_hand:
            run.warn(f"the {named} learnt from {by_hand_text(by_hand)}: its results are not label-free")


def champion_weights(run: Run, settings: Settings, tracker: Tracker) -> StartWeights:
    """Return the networks of the experiment's champion, and the settings' feature networks.

    Raises:
        RunError: if there is no champion, or it disagrees with the settings.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            where = Registry(tracker).download_champion(Path(folder))
        except LookupError as error:
            raise RunError(str(error)) from error
        named = f"the champion of experiment '{tracker.experiment}'"
        for model, field in (("oclr", "proposal.folder"), ("selector", "selection.method")):
            if model in wanted(settings) and not (where / f"{model}.safetensors").is_file():
                raise RunError(
                    f"{named} has no {model}, because it was trained with another {field}: set {field} to the same "
                    "value, or name start weights with --weights DIR"
                )
        found = {name: keep_file(run, where / f"{name}.safetensors", name) for name in wanted(settings)}
        features = where / "features.safetensors"
        _require_its_features(named, settings, tracker, shipped=not features.is_file())
        backbones = find_backbones(run, settings, where if features.is_file() else None)
        weights = replace(backbones, clip_network=find_shared_network(run, settings, where), **found)
    _check(run, settings, weights)
    return weights


def _require_its_features(named: str, settings: Settings, tracker: Tracker, *, shipped: bool) -> None:
    """Check that a champion gets the features that it was adapted on; `shipped`: it includes no compact ones itself.

    Raises:
        RunError: if those came from a file that the settings do not name.
    """
    reigning = Registry(tracker).champion()
    params = tracker.get(reigning[1]).data.params if reigning else {}
    for model in ("selector", "corrector"):
        backbone: BackboneSettings = getattr(settings.features, model)
        if model not in wanted(settings) or backbone.checkpoint:
            continue
        field = f"features.{model}.checkpoint"
        its = params.get(field, "None")
        if its != "None" or (shipped and backbone.backbone == "compact"):
            raise RunError(
                f"{named} was adapted on features from {its if its != 'None' else 'a file'} that it does not include: "
                f"set {field} to that file, or name other start weights with --weights DIR"
            )


def weights_under_way(run: Run, settings: Settings, tracker: Tracker, request: str) -> StartWeights | None:
    """Return the start weights of an unfinished adaptation with the same request, so that it can be resumed.

    A promotion since then does not change them. Returns None if there is no such adaptation, or the store no longer
    has its weights.

    Raises:
        RunError: if they disagree with the settings, or with the device of this run.
    """
    store = run.place.open()
    for cut_off in tracker.unfinished(request):
        started = {
            item.name: cut_off.data.tags.get(START_TAG + item.name, "None") for item in fields(StartWeights)
        }
        try:
            found = {name: store.resolve(ref) for name, ref in started.items() if ref != "None"}
        except KeyError:
            continue
        run.made += found.values()  # no stage of this run has computed them, but it needs them from here on
        weights = StartWeights(**found)
        if weights.clip_network is None:  # a run of a version that had none
            weights = replace(weights, clip_network=find_shared_network(run, settings))
        _check(run, settings, weights)
        return weights
    return None


def smoke_note(run: Run, weights: StartWeights) -> str:
    """Return 'smoke' if a network was trained too little for its metrics to mean anything, else an empty string."""
    trained = [run.summary(ref)["settings"] for ref in weights.networks.values()]
    return "smoke" if any(is_smoke(settings) for settings in trained) else ""
