"""Adaptation to single clips within a run: keyed by the clip; what follows in its round, and the next one, use it."""

import numpy as np
import pytest

from motion_adapt.flows.reports.run_report import Report
from tests.flows.conftest import SETTINGS, Home

PER_CLIP = SETTINGS.model_copy(
    update={
        "per_clip": SETTINGS.per_clip.model_copy(update={"enabled": True, "steps": 2, "learning_rate": 1e-2})
    }
)


def test_each_clip_has_a_corrector_of_its_own_under_a_key_of_its_own(again: Home) -> None:
    plain = {manifest.key for manifest in again.store.manifests("final")}
    report = again.segment(settings=PER_CLIP)
    computed = {name: count["computed"] for name, count in report.stages.items() if count["computed"]}
    assert computed.pop("clip-corrector") == computed.pop("correction") == computed.pop("final") == 2
    assert computed.pop("pseudo-labels") == 2
    assert set(computed) <= {"smoothing", "second-opinion", "clip-network", "edges", "pictures", "doubt"}
    assert len(plain) < len({manifest.key for manifest in again.store.manifests("final")})
    trained = [
        manifest.summary["settings"]["training"] for manifest in again.store.manifests("clip-corrector")
    ]
    assert len({tuple(item["labels"]) for item in trained}) == 2
    assert all(np.isfinite(loss) for item in trained for _, loss in item["held_out"])

    alone = again.segment(settings=PER_CLIP, clips=["heron"])  # the other clip is not needed
    assert not alone.recomputed


@pytest.mark.slow
def test_its_masks_go_on_in_its_round_and_teach_the_next(adapted: tuple[Home, Report], again: Home) -> None:
    _, before = adapted
    report = again.adapt(settings=PER_CLIP)
    computed = {name: count["computed"] for name, count in report.stages.items() if count["computed"]}
    assert computed["clip-corrector"] == 4 and computed["correction"] == 6  # two clips, two rounds
    assert computed["adapted-corrector"] == computed["finetuned-oclr"] == 1
    first, plain = report.rounds[0]["metrics"], before.rounds[0]["metrics"]
    assert first["corrected/J"] == plain["corrected/J"]
    assert first["per_clip/J"] != plain["corrected/J"]
    assert first["final/J"] != plain["final/J"]
    for item in report.rounds:
        assert item["metrics"]["seconds_per_frame/clip_corrector"] > 0
