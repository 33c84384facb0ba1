"""Rounds: propose, select and correct with given models, and adapt the models to the results.

This file is the order of a round; `flows/rounds/stages.py` runs its stages. Everything here is by clip name; the arrays
stay in the store.
"""

import math

from motion_adapt.flows.rounds.adapt_models import (
    adapted_corrector,
    find_far_behind,
    finetuned_oclr,
    pseudo_label,
)
from motion_adapt.flows.rounds.final_masks import finish_clips, refine_clips
from motion_adapt.flows.rounds.stages import (
    adapt_to_clips,
    ask_for_second_opinions,
    correct_clips,
    follow_clips_edges,
    gives_second_opinions,
    name_still,
    propose_clips,
    segment_by_network,
    select_clips,
    shared_network,
    smooth_clips,
)
from motion_adapt.flows.rounds.state import Round, Work
from motion_adapt.flows.run.start_weights import StartWeights


def first_round(work: Work, weights: StartWeights) -> Round:
    """Run round 0: propose, select and correct with the start weights."""
    return refine(work, Round(0, weights))


def next_round(work: Work, index: int, before: Round) -> Round:
    """Adapt the corrector and OCLR to masks of the round before, and run all stages.

    If those are the refined masks, both learn the same ones. If they are the corrected masks, OCLR learns what the
    adapted corrector makes of them (paper, section 3.4). The networks that `adapts` doesn't name stay as they are.
    """
    this = Round(index, before.weights)
    behind = find_far_behind(work, this, before)
    refined = work.settings.pseudo_labels.masks == "refined"
    teacher = before.behind_the_masks() if refined else before
    taught = teacher.refined if refined else teacher.correction
    labels = pseudo_label(work, this, taught, teacher.selection, without=behind)
    if work.settings.adapts_corrector:
        this.weights = this.weights.with_(corrector=adapted_corrector(work, this, teacher, labels))
        if work.settings.adapts_oclr and not refined:
            this.adapted = correct_clips(work, this, before.proposal, before.selection)
            labels = pseudo_label(work, this, this.adapted, before.selection, without=behind)
    if work.settings.adapts_oclr:
        this.weights = this.weights.with_(oclr=finetuned_oclr(work, this, labels))
    return refine(work, this, before)


def refine(work: Work, this: Round, before: Round | None = None) -> Round:
    """Segment every clip, and bring the masks to native size.

    A clip keeps its masks of the round `before`, or those made from DIS flow, if these fit it better.
    """
    segment_clips(work, this)
    if work.settings.adds_dis:
        this.by_dis = Round(this.index, this.weights, from_dis=True)
        segment_clips(work, this.by_dis)
    earlier = before if work.settings.keep_better else None
    this.taken = better_masks(work, this, [other for other in (earlier, this.by_dis) if other])
    this.edges |= {name: other.edges[name] for name, other in this.taken.items()}
    name_still(work, this)
    this.final = finish_clips(work, this.refined, this.name)
    if work.refiner:
        this.before_sam = this.final
        this.final = refine_clips(work, this.final, this.behind_the_masks().selection, this.name)
    return this


def segment_clips(work: Work, this: Round) -> None:
    """Propose, select and correct; refine each clip as the settings say."""
    this.proposal = propose_clips(work, this)
    this.selection = select_clips(work, this)
    this.correction = correct_clips(work, this, this.proposal, this.selection)
    if work.settings.per_clip.enabled:
        this.per_clip = adapt_to_clips(work, this)
    refined = this.per_clip or this.correction
    if work.settings.smoothing.enabled:
        this.smoothed = refined = smooth_clips(work, this, refined)
    if work.settings.clip_network.enabled:
        if work.settings.shared_network.steps and not this.from_dis:  # a second pass has that of the first
            this.weights = this.weights.with_(clip_network=shared_network(work, this, refined))
        if gives_second_opinions(work, this):
            this.second_opinion = refined = ask_for_second_opinions(work, this, refined)
        this.by_network = refined = segment_by_network(work, this, refined)
    if work.settings.edges.enabled:
        this.edges = follow_clips_edges(work, this, refined)


def better_masks(work: Work, this: Round, others: list[Round]) -> dict[str, Round]:
    """Return, for every clip whose masks in one of `others` fit it better, the Round that these come from.

    How well masks fit their clip is measured without labels, in the run's own flow (models/inference/threshold.py).
    """

    def fit(made: Round, name: str) -> float:
        found = work.run.summary(made.edges[name])["fit"] if name in made.edges else None
        return -math.inf if found is None else float(found)

    found = {}
    for name in this.edges:
        best = max([this, *others], key=lambda made: fit(made, name))  # the first of equals
        if best is not this:
            found[name] = best.source(name)
    return found
