"""Measure corrections of parts of a clip in which nothing was proposed, from the exemplars of the nearest part.

    python benchmarks/borrowing.py STORE DAVIS

STORE has a finished run of the `compact` preset on clips of DAVIS 2016. Of each clip, the proposals of all parts but
the first or the last are deleted, and the clip is corrected again by the weights that ship. The table has J of the
parts without proposals, on masks of the working resolution.
"""

import argparse
from importlib.resources import files
from pathlib import Path

import numpy as np

from motion_adapt.models.inference.pipeline import correct
from motion_adapt.models.inference.planning import parts
from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH, resize_masks
from motion_adapt.models.networks.checkpoints import Corrector, build_network, read_checkpoint
from motion_adapt.models.scoring.metrics import region_similarity
from motion_adapt.storage.artifacts.manifest import Manifest
from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.clips.find_clips import find_clips
from motion_adapt.storage.clips.videos import content_digest
from motion_adapt.storage.formats.images import read_rgb
from motion_adapt.tasks.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("data", type=Path)
    given = parser.parse_args()
    weights = Path(str(files("motion_adapt.models"))) / "weights" / "compact"
    net = build_network(read_checkpoint(weights / "corrector.safetensors"), expect="corrector")
    store, runs = ArtifactStore(given.store), {}
    for made in store.manifests("correction"):  # of a clip, any round will do
        runs[store.manifest(made.inputs["frames"]).settings["content"]] = made
    print("| clip | own proposals | first part lends | last part lends |\n|---|---|---|---|")
    rows = []
    for clip in find_clips(given.data).clips:
        if made := runs.get(content_digest(clip)):
            folder = given.data / "Annotations" / "480p" / clip.name
            truth = np.concatenate([small(path) for path in sorted(folder.glob("*.png"))])
            rows.append(scores(store, made, net, truth))
            print(f"| {clip.name} | " + " | ".join(f"{100 * value:.1f}" for value in rows[-1]) + " |")
    print("| mean | " + " | ".join(f"{100 * value:.1f}" for value in np.mean(rows, axis=0)) + " |")


def small(path: Path) -> np.ndarray:
    """Return an annotation at the working resolution, bool (1, 128, 224)."""
    return resize_masks(read_rgb(path).any(axis=2)[None], HEIGHT, WIDTH)


def scores(store: ArtifactStore, made: Manifest, net: Corrector, truth: np.ndarray) -> list[float]:
    """Return J with the clip's own proposals, and with those of the first and of the last part alone."""
    names = {"frames": "rgb", "tokens": "tokens", "proposal": "masks"}
    rgb, tokens, proposed = (store.open(made.inputs[name]).array(array)[:] for name, array in names.items())
    selection = store.open(made.inputs["selection"])
    ranked, marks = selection.array("scores")[:], selection.array("exemplars")[:]
    limit = selection.summary["limit"]
    how = {"limit": limit, "target": limit, **Settings().correction.model_dump()}
    own = store.open(made.artifact).array("masks")[:]
    found = []
    for lender in (0, -1):
        first, last = parts(len(rgb), limit, limit)[lender]
        kept = np.zeros(len(rgb), np.bool_)
        kept[first:last] = True
        blocks = correct(net, rgb, tokens, proposed & kept[:, None, None, None], ranked, marks, **how)
        borrowed = np.concatenate([block.masks for block in blocks])
        found.append([mean_j(truth[~kept], masks[~kept].any(axis=1)) for masks in (own, borrowed)])
    return [np.mean([pair[0] for pair in found]), found[0][1], found[1][1]]


def mean_j(truth: np.ndarray, masks: np.ndarray) -> float:
    """Return the mean J over frames of two clips' foregrounds, bool (T, H, W)."""
    return float(np.mean([region_similarity(*pair) for pair in zip(truth, masks, strict=True)]))


if __name__ == "__main__":
    main()
