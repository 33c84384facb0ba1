"""The figures of a round, by clip and over all clips, under the names that every round shares."""

from typing import Any

import pandas as pd

from flows.rounds import Round, Work
from flows.run import Run

SCORE_NAMES = (
    "J",
    "F",
    "JF",
    "J_matched",
    "F_matched",
    "JF_matched",
)  # of the final masks, in a clip's figures


def clip_figures(run: Run, this: Round, name: str) -> dict[str, Any]:
    """A clip's final scores and label-free measures; what could not be measured is absent."""
    found: dict[str, Any] = {"frames": run.summary(this.proposal[name])["frames"]}
    if name in this.scores.get("final", {}):
        found |= run.summary(this.scores["final"][name])["scores"]
    if name in this.quality:
        measures = run.summary(this.quality[name])["measures"]
        found |= {measure: value for measure, value in measures.items() if value is not None}
    found["new_objects"] = len(run.summary(this.proposal[name])["new_objects"])
    return found


def clip_rows(run: Run, this: Round) -> pd.DataFrame:
    """One row per clip: frames, scores by stage, label-free measures."""
    rows = []
    for name in run.clips:
        row = {"clip": name, **clip_figures(run, this, name)}
        for stage, scores in this.scores.items():
            if name in scores:
                values = run.summary(scores[name])["scores"]
                row |= {f"{stage}/{metric}": value for metric, value in values.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def round_metrics(work: Work, this: Round) -> dict[str, float]:
    """Means over the clips, and the seconds per frame that each stage took when it was computed."""
    table = clip_rows(work.run, this)
    frames = float(table["frames"].sum())
    shown = table.drop(columns=["clip", "frames", *SCORE_NAMES], errors="ignore")
    metrics = {str(name): float(shown[name].mean()) for name in shown if shown[name].notna().any()}
    materials = work.materials
    for stage, artifacts in (
        ("frames", materials.frames),
        ("flow", materials.flow[work.settings.gaps.inference]),
        ("selector_features", materials.selector_tokens),
        ("corrector_features", materials.corrector_tokens),
        ("proposal", this.proposal),
        ("selection", this.selection),
        ("correction", this.correction),
        ("final", this.final),
    ):
        made = [work.run.manifest(artifacts[name]).made["seconds"] for name in work.run.clips]
        metrics[f"seconds_per_frame/{stage}"] = sum(made) / frames
    return metrics
