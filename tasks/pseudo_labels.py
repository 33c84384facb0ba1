"""Pseudo-labelling: refined masks become the targets of adaptation (paper 3.4).

The corrector learns from an object's exemplar frames only; OCLR learns from all frames.
"""

from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.runtime.dims import MASK_DIMS, ROW_DIMS
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import stage


@stage("pseudo-labels", version=1)
def label(correction: Artifact, selection: Artifact, *, place: Place, out: ArtifactWriter) -> None:
    """Write the targets: `masks` bool (T, K, 128, 224), the corrected masks, and `exemplars` bool (T, K).

    The summary counts the frames in which any object has a mask: a clip without one is not trained on.
    """
    store = place.open()
    refined, chosen = store.open(correction), store.open(selection)
    labelled = 0
    for _, masks in refined.array("masks").blocks():
        out.append("masks", masks, MASK_DIMS)
        labelled += int(masks.any(axis=(1, 2, 3)).sum())
    out.append("exemplars", chosen.array("exemplars")[:], ROW_DIMS)
    out.summary = {"frames": refined.summary["frames"], "labelled_frames": labelled}
