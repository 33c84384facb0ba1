"""The method as plain functions on arrays: no Prefect, no store, no MLflow.

    python examples/plain_functions.py clip.mp4 masks

Its masks are those of `motion-adapt segment clip.mp4 --fast`, if the video has neither cuts nor frames in which nothing
moves: `segment` looks for both, this does not. Arrays: T frames, K = 3 objects, networks see 128 x 224.
"""

import sys
from importlib.resources import files
from pathlib import Path

import numpy as np

from motion_adapt.models.inference.edges import follow_edges, follow_fine_edges
from motion_adapt.models.inference.pipeline import correct, propose, select
from motion_adapt.models.inference.proposal_judges import propagation_judge
from motion_adapt.models.inference.smoothing import smooth
from motion_adapt.models.inference.threshold import choose_threshold, with_threshold
from motion_adapt.models.inputs.features import CORRECTOR_GRID, load_features, stream_features
from motion_adapt.models.inputs.flow import flow_estimator, stream_flow
from motion_adapt.models.inputs.imaging import (
    HEIGHT,
    WIDTH,
    native_labels,
    resize_frames,
)
from motion_adapt.models.inputs.rounding import (
    rounded_flow,
    rounded_frames,
    rounded_probabilities,
    rounded_tokens,
)
from motion_adapt.models.networks.checkpoints import build_network, read_checkpoint
from motion_adapt.storage.clips.find_clips import find_clips
from motion_adapt.storage.clips.videos import open_frames
from motion_adapt.storage.formats.masks import write_masks
from motion_adapt.tasks.settings import Settings

WEIGHTS = Path(str(files("motion_adapt.models"))) / "weights" / "compact"


def segment(native: np.ndarray) -> np.ndarray:
    """Return label maps u8 (T, H', W') of frames u8 (T, H', W', 3) RGB."""
    settings = Settings()  # of the preset compact

    # Motion shows what moves: optical flow to the frames before and after, rounded as in a store.
    dis = stream_flow(native, gap=settings.gaps.inference, estimator=flow_estimator("dis"))
    flow = rounded_flow(np.concatenate([block for _, block in dis]))  # (T, 4, 128, 224)

    # OCLR proposes object masks from flow alone: wrong if something stands still, or if flow is poor.
    oclr = build_network(read_checkpoint(WEIGHTS / "oclr.safetensors"), expect="oclr")
    asked = settings.proposal.model_dump(include={"chunk", "overlap", "link_iou", "contrast"})
    proposed = np.concatenate([block.masks for block in propose(oclr, flow, **asked)])  # (T, K, 128, 224)

    # Appearance recognises an object again: tokens of a feature network on a 16 x 28 grid.
    features = load_features("compact", checkpoint=WEIGHTS / "features.safetensors")
    tokens = rounded_tokens(
        np.concatenate([block for _, block in stream_features(native, features, CORRECTOR_GRID)])
    )
    rgb = rounded_frames(resize_frames(native, HEIGHT, WIDTH))

    # The frames whose masks fit those of their neighbours can be trusted: they are the exemplars.
    parts = {"limit": settings.selection.limit, "target": settings.selection.limit}
    chosen = list(select(propagation_judge(), rgb, tokens, proposed, t=settings.selection.exemplars, **parts))
    scores = np.concatenate([part.scores for part in chosen])  # (T, K)
    exemplars = np.concatenate([part.exemplars for part in chosen])  # bool (T, K)

    # The corrector repairs the masks of all frames from the exemplars.
    corrector = build_network(read_checkpoint(WEIGHTS / "corrector.safetensors"), expect="corrector")
    how = settings.correction.model_dump()
    repaired = correct(corrector, rgb, tokens, proposed, scores, exemplars, **parts, **how)
    probabilities = rounded_probabilities(np.concatenate([block.probabilities for block in repaired]))

    # Neighbouring frames make different errors: probabilities are averaged along the flow.
    how = settings.smoothing.model_dump(include={"iterations", "weight"})
    smoothed = np.stack(list(smooth(probabilities, flow, gap=settings.gaps.inference, **how)))

    # Borders move to where colour or motion changes, and the threshold that suits the clip becomes 0.5.
    clip = rgb, flow, rounded_probabilities(smoothed)
    how = {"gap": settings.gaps.inference, **settings.edges.averaging()}
    threshold, _, known = choose_threshold(*clip, **how)
    sharp = np.stack([with_threshold(frame, threshold) for frame in follow_edges(*clip, known=known, **how)])
    final = rounded_probabilities(sharp)

    # Frames larger than what the networks see show finer edges.
    height, width = native.shape[1:3]
    if height > HEIGHT and width > WIDTH:
        how["iterations"] = settings.fine_edges.iterations
        final = np.stack(list(follow_fine_edges(native, flow, final, **how)))
    return native_labels(final, height, width)


def main(video: str, folder: str) -> None:
    """Write the masks of every clip in `video`."""
    for clip in find_clips(Path(video)).clips:
        labels = segment(np.stack(list(open_frames(clip))))
        print("written to", write_masks(Path(folder), clip.name, clip.frame_names(len(labels)), labels))


if __name__ == "__main__":
    main(*sys.argv[1:])
