"""Pseudo-labelling: refined masks become the targets of adaptation (paper 3.4).

The corrector learns from an object's exemplar frames only; OCLR learns from all frames.
"""

from storage.keys import Artifact
from storage.writer import ArtifactWriter
from tasks.proposal import MASK_DIMS
from tasks.selection import ROW_DIMS
from tasks.stage import Place, stage


@stage("pseudo-labels", version=1)
def label(correction: Artifact, selection: Artifact, *, place: Place, out: ArtifactWriter) -> None:
    """Make targets: `masks` bool (T, K, 128, 224), the corrected masks, and `exemplars` bool (T, K).

    The summary counts the frames in which any object has a mask: a clip without one teaches nothing.
    """
    store = place.open()
    refined, chosen = store.open(correction), store.open(selection)
    labelled = 0
    for _, masks in refined.array("masks").blocks():
        out.append("masks", masks, MASK_DIMS)
        labelled += int(masks.any(axis=(1, 2, 3)).sum())
    out.append("exemplars", chosen.array("exemplars")[:], ROW_DIMS)
    out.summary = {"frames": refined.summary["frames"], "labelled_frames": labelled}
