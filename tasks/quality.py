"""Quality: label-free measures of a round's masks (defined in models/quality/measures.py)."""

import numpy as np

from motion_adapt.models.quality.gate import alarms
from motion_adapt.models.quality.identity import identity_switches, same_identities
from motion_adapt.models.quality.measures import (
    agreement,
    flow_consistency,
    overall,
    predicted_errors,
    shares,
)
from motion_adapt.storage.artifacts.writer import ArtifactWriter
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.runtime.stage import stage


@stage("quality", version=4)
def measure(
    flow: Artifact,
    proposal: Artifact,
    selection: Artifact,
    correction: Artifact,
    before: Artifact | None,
    *,
    place: Place,
    out: ArtifactWriter,
) -> None:
    """Measure one clip; `before` is the previous round's correction, or None.

    The summary's `measures` are named as `gate` expects; a measure without data is null. `alarms` describes obvious
    faults in words, and `switches` lists where objects change channels: [frame, channels].
    """
    store = place.open()
    motion, chosen = store.open(flow), store.open(selection)
    proposed, corrected = store.open(proposal).array("masks"), store.open(correction).array("masks")
    share = shares(corrected)
    masked = np.concatenate([block.any(axis=(2, 3)) for _, block in proposed.blocks()])  # (T, K)
    exemplar_error, frame_error = predicted_errors(
        chosen.array("errors")[:], chosen.array("exemplars")[:], masked
    )
    gap, earlier = motion.summary["gap"], store.open(before).array("masks") if before else None
    identities = identity_switches(corrected, motion.array("flow"), gap=gap)
    measures = {
        "flow_consistency": flow_consistency(corrected, motion.array("flow"), gap=gap),
        "agreement_proposal": agreement(proposed, corrected),
        "agreement_previous": agreement(earlier, corrected) if earlier is not None else None,
        "identity_previous": same_identities(earlier, corrected) if earlier is not None else None,
        "identity_switches": identities.switched,
        "exemplar_error": exemplar_error,
        "frame_error": frame_error,
        "empty": share.empty,
        "empty_frames": share.empty_frames,
        "coverage": share.coverage,
    }
    out.summary = {
        "measures": {**measures, "quality": overall(measures)},
        "alarms": list(alarms(measures)),
        "switches": [[item.frame, list(item.channels)] for item in identities.switches],
    }
