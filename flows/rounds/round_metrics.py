"""Metrics of a round, per clip and over all clips, under the same names in every round."""

from typing import TYPE_CHECKING, Any

from motion_adapt.flows.rounds.final_masks import share_kept
from motion_adapt.flows.rounds.state import Round, Work
from motion_adapt.flows.run.run import ByClip, Run
from motion_adapt.models.quality.measures import rank_correlation

if TYPE_CHECKING:
    import pandas as pd

# Scores of the final masks.
SCORE_NAMES = ("J", "F", "JF", "J_matched", "F_matched", "JF_matched", "SR", "SR_matched")
# Label-free measures whose ranking of the clips is compared with that by J, if there are labels.
RANKING = (
    "quality",
    "flow_consistency",
    "agreement_proposal",
    "exemplar_error",
    "frame_error",
    "empty_frames",
    "coverage",
    "identity_switches",
)


def clip_figures(run: Run, this: Round, name: str) -> dict[str, Any]:
    """Return a clip's final scores, label-free measures and alarms; those that could not be measured are left out."""
    found: dict[str, Any] = {"frames": run.summary(this.proposal[name])["frames"]}
    if name in this.scores.get("final", {}):
        found |= run.summary(this.scores["final"][name])["scores"]
    if name in this.quality:
        measures = run.summary(this.quality[name])["measures"]
        found |= {measure: value for measure, value in measures.items() if value is not None}
        found["alarms"] = run.summary(this.quality[name])["alarms"]
    if name in this.edges:
        found["threshold"] = run.summary(this.edges[name])["threshold"]
    if this.index:
        found["earlier_masks"] = float(this.source(name).index < this.index)
    if this.by_dis:
        found["masks_from_dis"] = float(this.source(name).from_dis)
    if name in this.opinions:
        found["opinion_heard"] = float(run.summary(this.opinions[name])["used"])
    if name in this.before_sam:
        found["sam_kept"] = share_kept(run.summary(this.final[name]))
    found["new_objects"] = len(run.summary(this.proposal[name])["new_objects"])
    return found


def clip_rows(run: Run, this: Round) -> "pd.DataFrame":
    """Return one row per clip: frames, scores by stage, label-free measures."""
    import pandas as pd  # half a second, and `segment` makes no such table

    rows = []
    for name in run.clips:
        figures = clip_figures(run, this, name)
        row = {"clip": name, **figures, "alarms": "; ".join(figures.get("alarms", ()))}
        for stage, scores in this.scores.items():
            if name in scores:
                values = run.summary(scores[name])["scores"]
                row |= {f"{stage}/{metric}": value for metric, value in values.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def round_metrics(work: Work, this: Round) -> dict[str, float]:
    """Return means over the clips, rank correlations of the label-free measures with J, and seconds per frame.

    The seconds are those that a stage took when it was computed, in this run or an earlier one.
    """
    table = clip_rows(work.run, this)
    frames = float(table["frames"].sum())
    shown = table.drop(columns=["clip", "frames", "alarms", *SCORE_NAMES], errors="ignore")
    metrics = {str(name): float(shown[name].mean()) for name in shown if shown[name].notna().any()}
    metrics["alarmed_clips"] = float((table["alarms"] != "").mean())
    metrics |= {f"spearman/{name}": value for name, value in rank_correlations(table).items()}
    materials = work.materials
    computed = {
        "frames": [materials.frames],
        "flow": [materials.flow],
        "selector_features": [materials.selector_tokens],
        "corrector_features": [materials.corrector_tokens],
        **{step: [made] for step, made in steps(this).items()},
        "before_sam": [this.before_sam],
        "final": [this.final],
        "masks_from_dis": [materials.dis_flow, *steps(this.by_dis).values()] if this.by_dis else [],
    }
    for stage, artifacts in computed.items():
        made = [by_clip[name] for by_clip in artifacts for name in work.run.clips if name in by_clip]
        if made:
            seconds = sum(work.run.manifest(artifact).made["seconds"] for artifact in made)
            metrics[f"seconds_per_frame/{stage}"] = seconds / frames
    return metrics


def steps(this: Round) -> dict[str, ByClip]:
    """Return what the steps of a pass made, from the proposals to the edges."""
    return {
        "proposal": this.proposal,
        "selection": this.selection,
        "correction": this.correction,
        "clip_corrector": this.clip_correctors,
        "clip_correction": {name: this.per_clip[name] for name in this.clip_correctors},
        "smoothing": this.smoothed,
        "second_opinion": this.opinions,
        "clip_network": made_by("clip-network", this.by_network),  # the others kept the masks that they had
        "edges": this.edges,
    }


def made_by(stage: str, artifacts: ByClip) -> ByClip:
    """Return the artifacts of a stage."""
    return {name: made for name, made in artifacts.items() if made.stage == stage}


def rank_correlations(clips: "pd.DataFrame") -> dict[str, float]:
    """Return Spearman's correlation of each label-free measure with `final/J`, over the clips that have both."""
    if "final/J" not in clips:
        return {}
    found = {
        name: rank_correlation(clips[name].astype(float), clips["final/J"])
        for name in RANKING
        if name in clips
    }
    return {name: value for name, value in found.items() if value is not None}
