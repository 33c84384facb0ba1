"""Doctor: report what is installed, and which weights and device would be used; suggest fixes for the rest."""

import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console

from motion_adapt.flows.run.console import say
from motion_adapt.flows.run.prechecks import find_refiner, require_settings
from motion_adapt.flows.run.prefect_server import begin_server
from motion_adapt.flows.run.start_weights import SHIPPED, shared_network_file, wanted
from motion_adapt.flows.run.weight_checks import require_fit
from motion_adapt.models.inference.crf import CrfMissing, require_crf
from motion_adapt.models.inputs.features import COMPACT, load_features
from motion_adapt.models.inputs.flow_estimators import flow_estimator
from motion_adapt.models.networks.checkpoints import read_checkpoint
from motion_adapt.models.sam.find_sam import KINDS, SamUnusable, require_transformers
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.settings import NETWORK_METHODS, BackboneSettings, Settings

PACKAGES = (
    "motion-adapt", "torch", "torchvision", "timm", "opencv-python-headless", "av", "zarr", "prefect",
    "prefect-dask", "dask", "mlflow",
)  # fmt: skip
TESTED_ON = "Linux"
PATIENCE = 30.0  # seconds for Prefect's temporary server to start
ROOM = 5.0  # GB of disk that a run on a few clips may need


def examine(console: Console, preset: str, settings: Settings, weights: Path | None, place: Place) -> bool:
    """Print one line per check, with a remedy if it failed. Returns whether a run with these settings can start."""
    healthy = True

    def check(what: str, look: Callable[[], str]) -> None:
        nonlocal healthy
        try:
            say(console, "ok   ", f"{what}: {look()}", "green")
        except Exception as error:  # report any library error as a finding
            healthy = False
            say(console, "wrong", f"{what}: {error}", "red")

    console.print(f"python {platform.python_version()} on {platform.platform()}", highlight=False)
    if platform.system() != TESTED_ON:
        say(console, "note ", f"system: tested on {TESTED_ON} only, never on {platform.system()}", "yellow")
    for package in PACKAGES:
        check(package, lambda package=package: importlib.metadata.version(package))  # type: ignore[misc]
    check("settings", lambda: settings_line(settings, place))
    check("CRF", lambda: crf_line(settings))
    check("SAM", lambda: sam_line(settings))
    check("device", lambda: device_line(place))
    check("store", lambda: writable(place))
    check("Prefect server", server_line)
    check(
        f"flow '{settings.flow.estimator}'",
        lambda: (
            f"ready{flow_weights(settings)}" if settings.flow.estimator != "flo" else folder_line(settings)
        ),
    )
    for grid, backbone in used_features(settings).items():
        check(f"{grid} features '{backbone.backbone}'", lambda b=backbone: features_line(b, weights))  # type: ignore[misc]
    for model in wanted(settings):
        path = (weights or SHIPPED / preset) / f"{model}.safetensors"
        check(f"{model} weights", lambda model=model, path=path: checkpoint_line(model, path, settings))  # type: ignore[misc]
    if shared := shared_network_file(settings, weights):
        check("clip networks' start", lambda: checkpoint_line("clip-network", shared, settings))
    console.print("ready to run" if healthy else "not ready: see the lines above", style="bold")
    return healthy


def crf_line(settings: Settings) -> str:
    """Return whether the CRF can run. It is only needed if the settings enable it."""
    try:
        require_crf()
    except CrfMissing as error:
        if settings.crf.enabled:
            raise
        return f"not available and not needed: {error}"
    return f"ready, pydensecrf2 {importlib.metadata.version('pydensecrf2')}"


def sam_line(settings: Settings) -> str:
    """Return the model that refines masks, or whether one could be used."""
    try:
        require_transformers()
    except SamUnusable as error:
        if settings.sam.model:
            raise
        return f"not available and not needed: {error}"
    package = f"transformers {importlib.metadata.version('transformers')}"
    files = find_refiner(settings.sam, download=False)
    if files is None:
        return f"not used, {package} is there; --sam NAME_OR_FOLDER names a model"
    return f"{KINDS[files.kind]} {files.name}, {files.megabytes:.0f} MB in {files.folder}, {package}"


def server_line() -> str:
    """Start a temporary Prefect server, or ask the one that is named; return a description of it."""
    with begin_server(limit=PATIENCE) as server:
        return server


def settings_line(settings: Settings, place: Place) -> str:
    """Check the settings as a run does before its first clip."""
    require_settings(settings, place.resolved().device)
    return "a run takes them"


def device_line(place: Place) -> str:
    """Return the device that a run would use."""
    device = place.resolved().device
    if device.startswith("cuda"):
        return f"{device}, {torch.cuda.get_device_name(device)}"
    return f"cpu, {place.threads} threads of {os.cpu_count()} cores"


def writable(place: Place) -> str:
    """Check that the store can be written, and return how much disk space is free."""
    folder = place.disk()
    if folder is None:
        store = place.open()
        store.fs.pipe_file(f"{store.root}/.doctor", b"")
        store.fs.rm_file(f"{store.root}/.doctor")
        return f"{place.store} can be written"
    with tempfile.TemporaryFile(dir=folder):
        free = shutil.disk_usage(folder).free / 1e9
    if free < ROOM:
        raise OSError(f"only {free:.1f} GB free in {folder}: name another place with --store")
    return f"{place.store}, {free:.0f} GB free"


def flow_weights(settings: Settings) -> str:
    """Load the flow estimator, and return with which weights."""
    flow_estimator(settings.flow.estimator, weights=settings.flow.weights, updates=1, device="cpu")
    return f", weights {settings.flow.weights}" if settings.flow.weights else ", needs no weights"


def folder_line(settings: Settings) -> str:
    """Check that the folder with ready-made flow exists, and return it."""
    folder = Path(str(settings.flow.folder))
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; flow.folder names it")
    return str(folder)


def used_features(settings: Settings) -> dict[str, BackboneSettings]:
    """Return the feature networks that a run needs, by the network that sees them.

    Without a selector, a run reads the selector's features if they are a file, and never loads those that timm has.
    """
    selector, corrector = settings.features.selector, settings.features.corrector
    is_file = selector.backbone == COMPACT or selector.checkpoint
    if settings.selection.method in NETWORK_METHODS or is_file:
        return {"selector": selector, "corrector": corrector}
    return {"corrector": corrector}


def features_line(backbone: BackboneSettings, weights: Path | None) -> str:
    """Load a feature network, and return its channels and patch size."""
    checkpoint = backbone.checkpoint
    if backbone.backbone == "compact" and checkpoint is None:
        checkpoint = str((weights or SHIPPED / "compact") / "features.safetensors")
    network = load_features(backbone.backbone, checkpoint=checkpoint, reference=backbone.reference)
    return f"{network.channels} channels, patch {network.patch_size}"


def checkpoint_line(model: str, path: Path, settings: Settings) -> str:
    """Read a checkpoint, check that it fits these settings, and return its path, size and training steps."""
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no {path}: name a folder with --weights, or 'motion-adapt pretrain --out DIR'"
        )
    checkpoint = read_checkpoint(path)
    if checkpoint.model != model:
        raise ValueError(f"{path} is a checkpoint of the {checkpoint.model}, wanted the {model}")
    require_fit(settings, {model: checkpoint.settings})
    steps = (checkpoint.settings.get("training") or {}).get("steps", "?")
    millions = sum(tensor.numel() for tensor in checkpoint.tensors.values()) / 1e6
    return f"{path}, {millions:.1f}M parameters, trained for {steps} steps"
