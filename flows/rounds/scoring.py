"""Measure a round without labels, and score it if annotations exist."""

from motion_adapt.flows.rounds.state import Round, Work
from motion_adapt.storage.labels.annotations import AnnotationError
from motion_adapt.tasks.evaluation import Labels, find_labels, score
from motion_adapt.tasks.quality import measure
from motion_adapt.tasks.selection_scores import score_selection


def measure_round(work: Work, this: Round, before: Round | None) -> None:
    """Compute the label-free measures of every clip, of its second pass as well."""
    if this.by_dis:
        measure_round(work, this.by_dis, before.by_dis if before else None)
    this.quality = work.run.each(
        measure,
        f"{this.name}: measure",
        lambda name: {
            "flow": work.materials.flow[name],
            "proposal": this.proposal[name],
            "selection": this.selection[name],
            "correction": this.correction[name],
            "before": before.correction[name] if before else None,
        },
        forgive=True,
    )


def annotated(work: Work) -> dict[str, Labels]:
    """Return the annotations of every clip that has usable ones. Warns of clips whose annotations are missing."""
    labels: dict[str, Labels] = {}
    if work.run.annotations is None:
        return labels
    for name, clip in work.run.clips.items():
        size = work.run.summary(work.materials.frames[name])
        try:
            labels[name] = find_labels(
                work.run.annotations,
                clip,
                work.materials.names[name],
                (size["height"], size["width"]),
                work.run.data_set,
                work.settings.mask_background,
            )
            for text in labels[name].warnings:
                work.run.warn(text)
        except (AnnotationError, OSError) as error:
            work.run.warn(f"{error}; {name} is not scored")
    return labels


def score_round(work: Work, this: Round, labels: dict[str, Labels]) -> None:
    """Compute J and F of the round's stages, and the selection's AP.

    A clip whose annotations cannot be used is not scored, with a warning.
    """
    stages = {
        "proposal": this.proposal,
        "adapted": this.adapted,
        "corrected": this.correction,
        "per_clip": this.per_clip,
        "smoothed": this.smoothed,
        "second_opinion": this.second_opinion,
        "clip_network": this.by_network,
        "edges": this.edges,
        "before_sam": this.before_sam,
        "final": this.final,
    }
    for stage, masks in stages.items():
        if not masks or not labels:
            continue
        this.scores[stage] = work.run.each(
            score,
            f"{this.name}: score {stage}",
            lambda name, masks=masks: {  # type: ignore[misc]
                "masks": masks[name],
                "content": labels[name].content,
                "protocol": work.settings.evaluation.protocol,
                "skip_ends": work.settings.evaluation.skip_ends,
                "objects": work.settings.objects,
                "labels": labels[name],
            },
            only=[name for name in work.run.clips if name in labels],
            forgive=True,
        )
    if labels and work.settings.evaluation.protocol != "boxes":  # masks cannot be ranked by boxes
        this.scores["selection"] = work.run.each(
            score_selection,
            f"{this.name}: score selection",
            lambda name: {
                "proposal": this.proposal[name],
                "selection": this.selection[name],
                "content": labels[name].content,
                "protocol": work.settings.evaluation.protocol,
                "labels": labels[name],
            },
            only=[name for name in work.run.clips if name in labels],
            forgive=True,
        )
