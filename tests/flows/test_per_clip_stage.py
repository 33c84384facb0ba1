"""Adaptation to single clips within a run: keyed by the clip, last in its round, and used in no other training."""

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
    assert set(computed) <= {"smoothing", "clip-network", "clip-masks", "edges", "pictures", "doubt"}
    assert len(plain) < len({manifest.key for manifest in again.store.manifests("final")})
    trained = [
        manifest.summary["settings"]["training"] for manifest in again.store.manifests("clip-corrector")
    ]
    assert len({tuple(item["labels"]) for item in trained}) == 2
    assert all(np.isfinite(loss) for item in trained for _, loss in item["held_out"])

    alone = again.segment(settings=PER_CLIP, clips=["heron"])  # the other clip is not needed
    assert not alone.recomputed


@pytest.mark.slow
def test_it_comes_last_in_its_round_and_is_used_in_no_training(
    adapted: tuple[Home, Report], again: Home
) -> None:
    _, before = adapted
    report = again.adapt(settings=PER_CLIP)
    computed = {name: count["computed"] for name, count in report.stages.items() if count["computed"]}
    assert computed["clip-corrector"] == computed["correction"] == 4  # two clips, two rounds
    assert not {"adapted-corrector", "finetuned-oclr", "selection", "quality"} & set(computed)
    for item, plain in zip(report.rounds, before.rounds, strict=True):
        assert item["metrics"]["corrected/J"] == plain["metrics"]["corrected/J"]
        assert item["metrics"]["per_clip/J"] != plain["metrics"]["corrected/J"]
        assert item["metrics"]["final/J"] != plain["metrics"]["final/J"]
        assert item["metrics"]["seconds_per_frame/clip_corrector"] > 0
        assert item["decision"] == plain["decision"]
