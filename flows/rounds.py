"""Rounds: propose, select and correct with given models, and adapt the models on what came out.

Everything here is by clip name; the arrays stay in the store.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.finishing import finish_clips
from flows.materialise import Materials
from flows.run import ByClip, Run
from flows.weights import NETWORK_METHODS, StartWeights
from models.quality import far_behind
from storage.annotations import AnnotationError
from storage.keys import Artifact
from storage.masks import masks_content
from tasks.adaptation import adapt_corrector, finetune_oclr
from tasks.correction import correct
from tasks.evaluation import Labels, find_labels, score
from tasks.per_clip import adapt_to_clip
from tasks.proposal import propose, take_proposals
from tasks.pseudo_labels import label
from tasks.quality import measure
from tasks.selection import select
from tasks.selection_scores import score_selection
from tasks.settings import Settings


@dataclass(frozen=True)
class Work:
    """What all rounds of a run share."""

    run: Run
    settings: Settings
    materials: Materials


@dataclass
class Round:
    """What one round made."""

    index: int
    weights: StartWeights
    proposal: ByClip = field(default_factory=dict)
    selection: ByClip = field(default_factory=dict)
    correction: ByClip = field(default_factory=dict)
    adapted: ByClip = field(default_factory=dict)  # corrections by the adapted corrector, before OCLR's turn
    clip_correctors: ByClip = field(default_factory=dict)  # where each clip is adapted to by itself
    per_clip: ByClip = field(default_factory=dict)  # corrections by those
    final: ByClip = field(default_factory=dict)
    quality: ByClip = field(default_factory=dict)
    scores: dict[str, ByClip] = field(default_factory=dict)  # by stage, where labels exist

    @property
    def name(self) -> str:
        """What people call it."""
        return f"round {self.index}"


def first_round(work: Work, weights: StartWeights) -> Round:
    """Round 0: propose, select and correct with the start weights."""
    return refine(work, Round(0, weights))


def next_round(work: Work, index: int, before: Round) -> Round:
    """Adapt the corrector on the round before and correct again; fine-tune OCLR on that; then all three stages."""
    this = Round(index, before.weights)
    doubtful = find_doubtful(work, this, before)
    labels = pseudo_label(work, this, before.correction, before.selection, without=doubtful)
    this.weights = this.weights.with_(corrector=adapted_corrector(work, this, before, labels))
    this.adapted = correct_clips(work, this, before.proposal, before.selection)
    if work.settings.proposal.folder is None:  # ready-made proposals have no OCLR behind them
        labels = pseudo_label(work, this, this.adapted, before.selection, without=doubtful)
        this.weights = this.weights.with_(oclr=finetuned_oclr(work, this, labels))
    return refine(work, this)


def refine(work: Work, this: Round) -> Round:
    """Propose, select, correct, adapt to each clip where that is asked for, and bring the masks to native size."""
    this.proposal = propose_clips(work, this)
    this.selection = select_clips(work, this)
    this.correction = correct_clips(work, this, this.proposal, this.selection)
    if work.settings.per_clip.enabled:
        this.per_clip = adapt_to_clips(work, this)
    corrected = this.per_clip or this.correction
    this.final = finish_clips(work.run, work.settings, work.materials, corrected, this.name)
    return this


def propose_clips(work: Work, this: Round) -> ByClip:
    """Proposals of every clip: OCLR's, or the ready-made ones that the settings name."""
    folder = work.settings.proposal.folder
    if folder is None:
        return work.run.each(
            propose,
            f"{this.name}: propose",
            lambda name: {
                "flow": work.materials.flow[work.settings.gaps.inference][name],
                "weights": this.weights.need("oclr"),
                "settings": work.settings.proposal,
                "precision": work.settings.precision,
            },
        )

    def given(name: str) -> dict[str, Any]:
        names = work.run.clips[name].frame_names(work.run.summary(work.materials.frames[name])["frames"])
        return {
            "frames": work.materials.frames[name],
            "content": masks_content(Path(folder), name, names),
            "objects": work.settings.objects,
            "folder": folder,
            "names": names,
        }

    return work.run.each(take_proposals, f"{this.name}: take proposals", given)


def select_clips(work: Work, this: Round) -> ByClip:
    """Judge every clip's proposals by the method of the settings."""
    materials, method = work.materials, work.settings.selection.method
    tokens = materials.selector_tokens if method in NETWORK_METHODS else materials.corrector_tokens
    return work.run.each(
        select,
        f"{this.name}: select",
        lambda name: {
            "frames": materials.frames[name],
            "tokens": tokens[name],
            "proposal": this.proposal[name],
            "weights": this.weights.need("selector") if method in NETWORK_METHODS else None,
            "settings": work.settings.selection,
            "precision": work.settings.precision,
            "seed": work.settings.seed if method == "random" else None,
        },
    )


def correct_clips(
    work: Work, this: Round, proposal: ByClip, selection: ByClip, correctors: ByClip | None = None
) -> ByClip:
    """Correct every clip with the round's corrector, or those that have one with their own."""
    return work.run.each(
        correct,
        f"{this.name}: correct" + (" clip by clip" if correctors is not None else ""),
        lambda name: {
            "frames": work.materials.frames[name],
            "tokens": work.materials.corrector_tokens[name],
            "proposal": proposal[name],
            "selection": selection[name],
            "weights": this.weights.need("corrector") if correctors is None else correctors[name],
            "settings": work.settings.correction,
            "precision": work.settings.precision,
        },
        only=None if correctors is None else list(correctors),
        forgive=correctors is not None,  # the round's own correction is there
    )


def adapt_to_clips(work: Work, this: Round) -> ByClip:
    """Corrections by a corrector of each clip's own; the round's where a clip has no mask to learn from.

    They go into the final masks and nowhere else: no pseudo-label is made of them.
    """
    labels = pseudo_label(work, this, this.correction, this.selection)
    this.clip_correctors = work.run.each(
        adapt_to_clip,
        f"{this.name}: adapt to each clip",
        lambda name: {
            "frames": work.materials.frames[name],
            "tokens": work.materials.corrector_tokens[name],
            "proposal": this.proposal[name],
            "selection": this.selection[name],
            "labels": labels[name],
            "weights": this.weights.need("corrector"),
            "settings": work.settings.per_clip,
            "window": work.settings.correction.window,
            "seed": work.settings.seed,
        },
        only=list(labels),
        forgive=True,  # the round's own correction is there
    )
    own = correct_clips(work, this, this.proposal, this.selection, this.clip_correctors)
    return {**this.correction, **own}


def find_doubtful(work: Work, this: Round, before: Round) -> list[str]:
    """The clips that may not teach, since their masks of the round before are far worse than most clips'."""
    quality = {
        name: work.run.summary(made)["measures"]["quality"]
        for name, made in before.quality.items()
        if name in work.run.clips
    }
    doubtful = far_behind(quality)
    for name in doubtful:
        found = f"its quality in {before.name}, {quality[name]:.2f}, is far below most others'"
        work.run.warn(f"{this.name}: {name} teaches nothing: {found}")
    return doubtful


def pseudo_label(
    work: Work, this: Round, correction: ByClip, selection: ByClip, *, without: Collection[str] = ()
) -> ByClip:
    """Targets of the clips that have any, in an order that no clip's name takes part in.

    A clip without a single mask teaches nothing, and neither does one of `without`.
    """
    labels = work.run.each(
        label,
        f"{this.name}: pseudo-label",
        lambda name: {"correction": correction[name], "selection": selection[name]},
        only=[name for name in work.run.clips if name not in without],
    )
    in_order = sorted(labels.items(), key=lambda item: item[1].key)
    return {name: made for name, made in in_order if work.run.summary(made)["labelled_frames"]}


def adapted_corrector(work: Work, this: Round, before: Round, labels: ByClip) -> Artifact:
    """The corrector, gone on training on exemplar frames; as it was where no clip has a mask."""
    if not labels:
        work.run.warn(f"{this.name}: no clip has a mask to learn from; the corrector stays as it is")
        return before.weights.need("corrector")
    return work.run.once(
        adapt_corrector,
        f"{this.name}: adapt the corrector",
        frames=[work.materials.frames[name] for name in labels],
        tokens=[work.materials.corrector_tokens[name] for name in labels],
        proposals=[before.proposal[name] for name in labels],
        selections=[before.selection[name] for name in labels],
        labels=list(labels.values()),
        weights=before.weights.need("corrector"),
        settings=work.settings.corrector_adaptation,
        window=work.settings.correction.window,
        seed=work.settings.seed + this.index,
    )


def finetuned_oclr(work: Work, this: Round, labels: ByClip) -> Artifact:
    """OCLR, gone on training on refined masks and flow of another gap; as it was where no clip has a mask."""
    if not labels:
        work.run.warn(f"{this.name}: no clip has a mask to learn from; OCLR stays as it is")
        return this.weights.need("oclr")
    return work.run.once(
        finetune_oclr,
        f"{this.name}: fine-tune OCLR",
        flow=[work.materials.flow[work.settings.gaps.adaptation][name] for name in labels],
        labels=list(labels.values()),
        weights=this.weights.need("oclr"),
        settings=work.settings.oclr_finetuning,
        seed=work.settings.seed + this.index,
    )


def measure_round(work: Work, this: Round, before: Round | None) -> None:
    """The label-free measures of every clip."""
    this.quality = work.run.each(
        measure,
        f"{this.name}: measure",
        lambda name: {
            "flow": work.materials.flow[work.settings.gaps.inference][name],
            "proposal": this.proposal[name],
            "selection": this.selection[name],
            "correction": this.correction[name],
            "before": before.correction[name] if before else None,
        },
        forgive=True,
    )


def annotated(work: Work) -> dict[str, Labels]:
    """The clips that have usable annotations; one that the data set should annotate and doesn't is warned about."""
    labels: dict[str, Labels] = {}
    if work.run.annotations is None:
        return labels
    for name, clip in work.run.clips.items():
        size = work.run.summary(work.materials.frames[name])
        try:
            labels[name] = find_labels(
                work.run.annotations,
                clip,
                size["frames"],
                (size["height"], size["width"]),
                work.run.data_set,
            )
            for text in labels[name].warnings:
                work.run.warn(text)
        except (AnnotationError, OSError) as error:
            work.run.warn(f"{error}; {name} is not scored")
    return labels


def score_round(work: Work, this: Round, labels: dict[str, Labels]) -> None:
    """J and F of the round's stages, and the selection's AP.

    A clip whose annotations can't be used goes unscored, with a warning.
    """
    stages = {
        "proposal": this.proposal,
        "adapted": this.adapted,
        "corrected": this.correction,
        "per_clip": this.per_clip,
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
    if labels and work.settings.evaluation.protocol != "boxes":  # a box ranks no masks
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
