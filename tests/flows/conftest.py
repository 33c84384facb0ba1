"""Small clips, barely trained weights and a home for a run, so that a whole adaptation takes seconds.

One adaptation is run per session, also if several processes share the tests; tests that change things work on a copy of
its home. A copied store works like the original, because nothing in it depends on its path.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from motion_adapt.flows.adapt import adapt
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.run.tracking import Tracking
from motion_adapt.flows.segment import segment
from motion_adapt.models.inputs.imaging import labels_from_masks
from motion_adapt.models.networks.checkpoints import Checkpoint, save_checkpoint, weights_of
from motion_adapt.models.networks.clip_network import ClipNetwork
from motion_adapt.models.networks.compact_features import CompactFeatures
from motion_adapt.models.networks.corrector import MaskCorrector
from motion_adapt.models.networks.oclr import OCLR
from motion_adapt.models.networks.selector import MaskSelector
from motion_adapt.models.pretraining.recipe import fresh_network
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.storage.artifacts.manifest import Manifest
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.formats.masks import write_masks
from motion_adapt.storage.tracking import Tracker
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.settings import Settings
from tests.conftest import once

SIZE = 90, 160  # of the files; the networks' input is 128 x 224
LARGE = 136, 240  # of files that show finer edges than that
FRAMES = 5
FIELDS = {
    "adapts": "both",
    "selection": {"method": "error_map", "exemplars": 3},
    "corrector_adaptation": {"steps": 4, "checkpoint_every": 1},
    "oclr_finetuning": {"steps": 2, "frames": 4, "checkpoint_every": 1},
    # After two steps a clip network shows anything.
    "clip_network": {
        "steps": 2,
        "steps_per_frame": 0,
        "agreement": 0,
        "sizes": [1.0],
    },
    "smoothing": {"iterations": 1},
    "edges": {"iterations": 2},
}
SETTINGS = Settings.model_validate(FIELDS)
# For tests in which what follows the corrections decides nothing: as in the paper.
PLAIN = Settings.model_validate(
    {
        **FIELDS,
        **{name: {"enabled": False} for name in ("clip_network", "smoothing", "edges")},
        "pseudo_labels": {"masks": "corrected"},
    }
)
# The same from the command line.
OVERRIDES = (
    "adapts=both",
    "selection.method=error_map",
    "selection.exemplars=3",
    "corrector_adaptation.steps=4",
    "corrector_adaptation.checkpoint_every=1",
    "oclr_finetuning.steps=2",
    "oclr_finetuning.frames=4",
    "oclr_finetuning.checkpoint_every=1",
    "clip_network.steps=2",
    "clip_network.steps_per_frame=0",
    "clip_network.agreement=0",
    "clip_network.sizes=[1.0]",
    "smoothing.iterations=1",
    "edges.iterations=2",
)


@dataclass(frozen=True)
class Home:
    """A folder with its own clips, store, tracking database and results."""

    path: Path
    weights: Path

    @property
    def clips(self) -> Path:
        return self.path / "clips"

    @property
    def output(self) -> Path:
        return self.path / "out"

    @property
    def place(self) -> Place:
        return Place(
            store=str(self.path / "store"), scratch=str(self.path / "scratch"), device="cpu", threads=1
        )

    @property
    def tracking(self) -> Tracking:
        return Tracking(uri=f"sqlite:///{self.path}/mlflow.db", experiment="clips")

    @property
    def store(self) -> ArtifactStore:
        return self.place.open()

    @property
    def tracker(self) -> Tracker:
        return self.tracking.open("")

    def adapt(self, *, name: str | None = None, **changes: Any) -> Report:
        arguments = {"source": str(self.clips), **self._common(), **changes}
        flow = adapt.with_options(flow_run_name=name) if name else adapt
        return flow(**arguments)

    def segment(self, source: Path | None = None, **changes: Any) -> Report:
        arguments = {"source": str(source or self.clips), **self._common(), **changes}
        return segment(**arguments)

    def _common(self) -> dict[str, Any]:
        return {
            "settings": SETTINGS,
            "weights": str(self.weights),
            "output": str(self.output),
            "place": self.place,
            "tracking": self.tracking,
        }

    def options(self, *start: str) -> list[str]:
        """Return the same as command-line options, for commands that run the method; `start`: other start weights."""
        options = ["--store", str(self.path / "store"), "--threads", "1", "--device", "cpu"]
        options += [*(start or ("--weights", str(self.weights))), "--output", str(self.output)]
        options += ["--tracking-uri", f"sqlite:///{self.path}/mlflow.db", "--experiment", "clips"]
        return options + [part for override in OVERRIDES for part in ("--set", override)]

    def digests(self, stage: str = "*") -> set[tuple[str, str, str]]:
        """Return (stage, key, digest) of every artifact in the store."""
        return {(m.stage, m.key, m.digest) for m in self.store.manifests(stage)}

    def file_of(self, manifest: Manifest, name: str) -> Path:
        return Path(self.store.prefix(manifest)) / name


def computed(report: Report) -> dict[str, int]:
    """Return how many artifacts a run computed, by stage."""
    return {name: count["computed"] for name, count in report.stages.items() if count["computed"]}


@pytest.fixture(scope="session")
def smoke_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write untrained networks, as small as possible, which propose something everywhere."""
    folder = tmp_path_factory.mktemp("weights")
    features = {"name": "compact", "channels": 16, "patch": 8}
    head = {"features": 4, "width": 32, "num_heads": 4, "num_layers": 1, "dropout": 0.0}
    networks: dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, Any] | None]] = {
        "features": (CompactFeatures, {"channels": 16, "patch_size": 8, "width": 24}, None),
        "oclr": (OCLR, head, None),
        "selector": (MaskSelector, {**head, "feature_channels": 16}, features),
        "corrector": (MaskCorrector, {**head, "feature_channels": 16}, features),
        "clip-network": (ClipNetwork, {"objects": 1, "widths": [8, 8, 8], "motion": True}, None),
    }
    for model, (build, network, seen) in networks.items():
        module = fresh_network(build, network, seed=0)
        if isinstance(module, ClipNetwork):  # undecided everywhere, so that the masks it learns from remain
            nn.init.zeros_(module.out.bias)
        settings = {"network": network, "features": seen, "training": {"steps": 1}}
        file = folder / f"{model.replace('-', '_')}.safetensors"
        save_checkpoint(file, Checkpoint(model, settings, weights_of(module)))
    return folder


@pytest.fixture(scope="session")
def smoke_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two synthetic clips of a few frames with their true masks, in DAVIS layout."""
    folder = tmp_path_factory.mktemp("clips")
    supply = SyntheticClips(seed=7, frames=FRAMES, size=SIZE)
    for index, name in enumerate(("heron", "tram [raw]")):
        clip = supply.make(index)
        frames = [f"{5 * index + frame:05d}" for frame in range(FRAMES)]
        write_frames(folder / "JPEGImages" / "480p" / name, frames, clip.rgb)
        write_masks(
            folder / "Annotations" / "480p",
            "heron" if not index else name,
            frames,
            labels_from_masks(clip.modal),
        )
    return folder


def enlarge(home: Home, clip: str) -> None:
    """Replace a clip's frames by larger ones than the networks see: final masks follow their edges too."""
    folder = home.clips / "JPEGImages" / "480p" / clip
    names = sorted(path.stem for path in folder.iterdir())
    shutil.rmtree(folder)
    made = SyntheticClips(seed=7, frames=len(names), size=LARGE).make(0)
    write_frames(folder, names, made.rgb)
    write_masks(home.clips / "Annotations" / "480p", clip, names, labels_from_masks(made.modal))


def write_frames(folder: Path, names: list[str], frames: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for name, frame in zip(names, frames, strict=True):
        Image.fromarray(frame).save(folder / f"{name}.jpg", quality=92)


@pytest.fixture(scope="session")
def adapted(
    tmp_path_factory: pytest.TempPathFactory,
    prefect_server: None,
    smoke_weights: Path,
    smoke_clips: Path,
    empty_database: Path,
) -> tuple[Home, Report]:
    """Return a home with one finished adaptation, and its report; tests must not change it.

    The Prefect server of this process may not know the run.
    """

    def run(folder: Path) -> tuple[Home, Report]:
        home = make_home(folder, smoke_weights, smoke_clips, empty_database)
        return home, home.adapt()

    return once(tmp_path_factory, "adapted", run)


@pytest.fixture
def home(
    tmp_path: Path, prefect_server: None, smoke_weights: Path, smoke_clips: Path, empty_database: Path
) -> Home:
    """Return a home in which nothing has run yet."""
    return make_home(tmp_path, smoke_weights, smoke_clips, empty_database)


@pytest.fixture(scope="session")
def segmented(
    tmp_path_factory: pytest.TempPathFactory, adapted: tuple[Home, Report], empty_database: Path
) -> Home:
    """Return a copy of the adapted home whose store also has the pictures that `segment` makes."""

    def run(folder: Path) -> Home:
        home = copy_home(folder, adapted[0], empty_database)
        home.segment()
        return home

    return once(tmp_path_factory, "segmented", run)


@pytest.fixture
def again(tmp_path: Path, segmented: Home, empty_database: Path) -> Home:
    """Return a copy of the adapted home, in which tests can change things and run again."""
    return copy_home(tmp_path, segmented, empty_database)


def copy_home(path: Path, first: Home, database: Path) -> Home:
    """Return a home in `path` with the clips and the store of another one."""
    home = make_home(path, first.weights, first.clips, database)
    shutil.copytree(first.path / "store", home.path / "store")
    return home


def make_home(path: Path, weights: Path, clips: Path, database: Path) -> Home:
    shutil.copytree(clips, path / "clips")
    shutil.copy(database, path / "mlflow.db")
    return Home(path, weights)


def child_environment(home: Path, database: Path | None = None) -> dict[str, str]:
    """Return the environment of a command in a separate process with its own Prefect, in a copy of a database."""
    if database:
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(database, home / "prefect.db")
    return {**os.environ, "PREFECT_HOME": str(home), "COLUMNS": "200"}
