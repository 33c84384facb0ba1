"""Features of a frozen network, on the selector's 8x14 and the corrector's 16x28 grid (paper 3.2, A.3)."""

from contextlib import ExitStack
from functools import lru_cache

from motion_adapt.models.inputs.features import FeatureNetwork, load_features, stream_features
from motion_adapt.models.inputs.rounding import rounded_tokens
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.clips.find_clips import Clip
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.checkpoints import FILE
from motion_adapt.tasks.native_frames import native_frames
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.progress import track
from motion_adapt.tasks.runtime.stage import NotKeyed, stage
from motion_adapt.tasks.settings import BackboneSettings

DIMS = ("time", "row", "column", "channel")


@stage("features", version=2, gpu=True)
def extract_features(
    frames: Artifact,
    *,
    weights: Artifact | None,
    settings: BackboneSettings,
    grid: tuple[int, int],
    clip: NotKeyed[Clip],
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Extract features; `weights` are the network's, or None for timm's own pretrained ones.

    Writes `tokens` f16 (T, h, w, C), rounded to five significant binary digits.

    Raises:
        SourceLost: if the clip's source is gone or has changed.
    """
    native = native_frames(place.open(), frames, clip)
    network = load_backbone(place.store, weights, settings.backbone, settings.reference, place.device)
    with track(len(native), f"features {grid[0]}x{grid[1]} of {place.label}") as advance:
        for _, block in stream_features(native, network, grid):
            out.append("tokens", rounded_tokens(block), DIMS)
            advance(len(block))
    out.summary = {"frames": len(native), "name": network.name, "channels": network.channels}


@lru_cache(maxsize=2)
def load_backbone(
    store: str, weights: Artifact | None, backbone: str, reference: bool, device: str
) -> FeatureNetwork:
    """Return a feature network; the last two are cached, because every clip needs them."""
    with ExitStack() as stack:
        checkpoint = stack.enter_context(ArtifactStore(store).open(weights).path(FILE)) if weights else None
        return load_features(backbone, checkpoint=checkpoint, device=device, reference=reference)
