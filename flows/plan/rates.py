"""Seconds and bytes of each stage: as this store's manifests record them, else as they were measured elsewhere.

A stage's work is counted in units: frames, millions of native pixels, steps of a training, or clips.
"""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from motion_adapt.flows.plan.dry_run import Piece
from motion_adapt.storage.artifacts.manifest import Manifest
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.clips.videos import Outline
from motion_adapt.storage.keys import jsonable
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.settings import ClipNetworkSettings

SAMPLE = 12  # artifacts of a stage that are looked at
STORED, SHIPPED, GUESSED = "this store", "shipped figures", "a guess for this GPU"


@dataclass(frozen=True)
class Shipped:
    """Figures for a stage where this store has none.

    Attributes:
        unit: the seconds are counted by `frame`, `megapixel`, `step` or `clip`.
        seconds: per unit, with the compact preset on two CPU cores.
        frame_bytes: stored per frame.
        pixel_bytes: stored per native pixel.
        clip_bytes: stored per clip, or per training.
    """

    unit: str
    seconds: float
    frame_bytes: float = 0
    pixel_bytes: float = 0
    clip_bytes: float = 0

    @property
    def by_frame(self) -> bool:
        """Whether the artifacts of longer clips are larger."""
        return self.unit in ("frame", "megapixel") or self.frame_bytes > 0


SHIPPED_FIGURES = {
    "frames": Shipped("megapixel", 0.015, frame_bytes=46e3),
    "native-frames": Shipped("megapixel", 0.05, pixel_bytes=2.2),
    "shots": Shipped("frame", 0.0025),
    "flow": Shipped("megapixel", 0.27, frame_bytes=34e3),
    "features": Shipped("frame", 0.02, frame_bytes=30e3),
    "proposal": Shipped("frame", 0.05, frame_bytes=400),
    "given-proposal": Shipped("megapixel", 0.03, frame_bytes=1e3),
    "selection": Shipped("frame", 0.009, frame_bytes=400),
    "correction": Shipped("frame", 0.12, frame_bytes=10e3),
    "clip-corrector": Shipped("step", 1.3, clip_bytes=10e6),
    "smoothing": Shipped("frame", 0.013, frame_bytes=8e3),
    "second-opinion": Shipped("frame", 0.055, frame_bytes=8e3),
    "shared-network": Shipped("step", 0.24, clip_bytes=4e6),
    "clip-network": Shipped("step", 0.07, frame_bytes=6e3),
    "edges": Shipped("frame", 0.03, frame_bytes=8e3),
    "final": Shipped("megapixel", 0.06, frame_bytes=1.5e3),
    "sam": Shipped("frame", 20.0, frame_bytes=1e3),  # a large model; the small ones take a fifth
    "sam-video": Shipped("frame", 20.0, frame_bytes=1e3),
    "sam-labels": Shipped("frame", 0.005, frame_bytes=1e3),
    "quality": Shipped("frame", 0.006),
    "pictures": Shipped("megapixel", 0.11, pixel_bytes=0.04, clip_bytes=3.6e6),
    "fill": Shipped("megapixel", 0.6, frame_bytes=1e3, pixel_bytes=0.03),
    "masks-by-hand": Shipped("clip", 0.5, clip_bytes=20e3),
    "proposal-by-hand": Shipped("frame", 0.003, frame_bytes=1e3),
    "doubt": Shipped("frame", 0.005, clip_bytes=100e3),
    "pseudo-labels": Shipped("frame", 0.0015, frame_bytes=1e3),
    "adapted-corrector": Shipped("step", 1.3, clip_bytes=10e6),
    "finetuned-oclr": Shipped("step", 1.5, clip_bytes=15e6),
    "weights": Shipped("clip", 0.03, clip_bytes=4e6),
}
SEGMENTING = 0.6  # training steps of a clip network, which take as long as segmenting a frame
CRF = 3.0  # seconds per megapixel
# Seconds per megapixel of what RAFT sees and per update, on a CPU; its encoders take as long as four updates.
RAFT, ENCODERS = {"raft_large": 1.25, "raft_small": 0.38}, 4
FASTER = 12.0  # times that a GPU is faster with networks


@dataclass(frozen=True)
class Cost:
    """Estimated cost of one artifact, and where the estimate comes from."""

    seconds: float
    bytes: float
    source: str


class Rates:
    """Rates of one store and place, by stage; manifests are read once."""

    def __init__(self, store: ArtifactStore, place: Place) -> None:
        self._store, self._place = store, place
        self._found: dict[str, list[Manifest]] = {}

    def cost(self, piece: Piece, size: Outline | None) -> Cost:
        """Estimate the seconds and bytes of an artifact; `size` is that of its clip, None for no clip."""
        stage, shipped = piece.recipe.stage, SHIPPED_FIGURES.get(piece.recipe.stage, Shipped("clip", 1.0))
        settings = jsonable(piece.recipe.settings)
        frames, pixels = (size.frames, size.frames * size.height * size.width) if size else (0, 0)
        if stage == "fill":  # it has the frames in between as well
            frames, pixels = frames * settings["step"], pixels * settings["step"]
        counts = {
            "frame": frames,
            "megapixel": pixels / 1e6,
            "step": _steps(stage, settings, frames),
            "clip": 1,
        }
        like = self._like(stage, piece.recipe.version, settings)
        rates = [self._rate(manifest, shipped) for manifest in like]
        if known := [rate for rate in rates if rate]:
            times, sizes = zip(*known, strict=True)
            stored = statistics.median(sizes) * (frames if shipped.by_frame else 1)
            return Cost(statistics.median(times) * counts[shipped.unit], stored, STORED)
        seconds = shipped.seconds * counts[shipped.unit]
        if stage == "final" and settings["settings"]["enabled"]:
            seconds += CRF * counts["megapixel"]
        if stage == "flow" and size:
            flow = settings["settings"]
            height, width = flow["resolution"] or (size.height, size.width)
            per_megapixel = shipped.seconds
            if flow["estimator"] in RAFT:
                per_megapixel = RAFT[flow["estimator"]] * (ENCODERS + flow["updates"])
            seconds = per_megapixel * frames * height * width / 1e6
        on_gpu = piece.gpu and self._place.device.startswith("cuda")
        stored = shipped.frame_bytes * frames + shipped.pixel_bytes * pixels + shipped.clip_bytes
        return Cost(seconds / FASTER if on_gpu else seconds, stored, GUESSED if on_gpu else SHIPPED)

    def _like(self, stage: str, version: int, settings: dict[str, Any]) -> list[Manifest]:
        """Return stored artifacts of a stage's version that were made on this device with the same settings."""
        if stage not in self._found:
            keys = self._store.names(stage)
            chosen = keys[:: max(len(keys) // SAMPLE, 1)]
            found = [self._store.read_manifest(stage, key) for key in chosen]
            self._found[stage] = [
                item for item in found if item and item.made.get("device") == self._place.device
            ]
        return [
            item for item in self._found[stage] if item.version == version and _alike(item.settings, settings)
        ]

    def _rate(self, manifest: Manifest, shipped: Shipped) -> tuple[float, float] | None:
        """Return the seconds per unit of an artifact, and its bytes: per frame or, if its size is fixed, in all.

        None if the size of its clip is no longer known.
        """
        size = sum(entry.size for entry in manifest.files.values())
        seconds = float(manifest.made["seconds"])
        if not shipped.by_frame:
            units = 1 if shipped.unit == "clip" else _steps_of(manifest)
            return (seconds / units, size) if units else None
        frames, pixels = self._extent(manifest)
        if manifest.stage == "fill":
            frames, pixels = (count * int(manifest.settings["step"]) for count in (frames, pixels))
        units = {"frame": frames, "megapixel": pixels / 1e6, "step": _steps_of(manifest)}[shipped.unit]
        return (seconds / units, size / frames) if units else None

    def _extent(self, manifest: Manifest) -> tuple[int, int]:
        """Return the frames and native pixels of the clip that an artifact belongs to."""
        near = [manifest, *self._inputs(manifest)]
        for found in near:
            if found.stage == "frames":
                summary = found.summary
                return summary["frames"], summary["frames"] * summary["height"] * summary["width"]
        return max((found.summary.get("frames", 0) for found in near), default=0), 0

    def _inputs(self, manifest: Manifest) -> Iterable[Manifest]:
        for ref in manifest.inputs.values():
            if found := self._store.read_manifest(ref.stage, ref.key):
                yield found


def _steps(stage: str, settings: dict[str, Any], frames: int) -> float:
    """Return the steps that a training would take, 0 for any other stage; `frames`: of its clip.

    A clip network's include those that segmenting its clip takes as long as.
    """
    inner = settings.get("settings")
    if not isinstance(inner, dict):
        return 0
    if stage == "clip-network":
        return ClipNetworkSettings.model_validate(inner).steps_for(frames) + SEGMENTING * frames
    return int(inner.get("steps", 0))


def _steps_of(manifest: Manifest) -> float:
    """Return the steps that a training took, counted as by `_steps`; 0 for any other stage."""
    if manifest.stage == "clip-network":
        return _steps(manifest.stage, manifest.settings, manifest.summary["frames"])
    return float((manifest.summary.get("settings", {}).get("training") or {}).get("steps", 0))


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two artifacts of a stage were made in the same way: steps are counted, contents are not."""

    def way(settings: dict[str, Any]) -> dict[str, Any]:
        inner = settings.get("settings")
        inner = {k: v for k, v in inner.items() if k != "steps"} if isinstance(inner, dict) else inner
        return {"settings": inner, **{name: settings.get(name) for name in ("edges", "grid", "precision")}}

    return way(one) == way(other)
