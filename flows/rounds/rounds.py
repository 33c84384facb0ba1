"""Rounds: propose, select and correct with given models, and adapt the models to the results.

This file is the order of a round; `flows/rounds/stages.py` runs its stages. Everything here is by clip name; the arrays
stay in the store.
"""

from motion_adapt.flows.rounds.adapt_models import (
    adapted_corrector,
    find_far_behind,
    finetuned_oclr,
    pseudo_label,
)
from motion_adapt.flows.rounds.final_masks import finish_clips, refine_clips
from motion_adapt.flows.rounds.stages import (
    adapt_to_clips,
    correct_clips,
    follow_clips_edges,
    propose_clips,
    segment_by_network,
    select_clips,
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
    taught = before.refined if refined else before.correction
    labels = pseudo_label(work, this, taught, before.selection, without=behind)
    if work.settings.adapts_corrector:
        this.weights = this.weights.with_(corrector=adapted_corrector(work, this, before, labels))
        if work.settings.adapts_oclr and not refined:
            this.adapted = correct_clips(work, this, before.proposal, before.selection)
            labels = pseudo_label(work, this, this.adapted, before.selection, without=behind)
    if work.settings.adapts_oclr:
        this.weights = this.weights.with_(oclr=finetuned_oclr(work, this, labels))
    return refine(work, this)


def refine(work: Work, this: Round) -> Round:
    """Propose, select and correct; refine each clip as the settings say; bring the masks to native size."""
    this.proposal = propose_clips(work, this)
    this.selection = select_clips(work, this)
    this.correction = correct_clips(work, this, this.proposal, this.selection)
    if work.settings.per_clip.enabled:
        this.per_clip = adapt_to_clips(work, this)
    refined = this.per_clip or this.correction
    if work.settings.smoothing.enabled:
        this.smoothed = refined = smooth_clips(work, this, refined)
    if work.settings.clip_network.enabled:
        this.by_network = refined = segment_by_network(work, this, refined)
    if work.settings.edges.enabled:
        this.edges = refined = follow_clips_edges(work, this, refined)
    this.final = finish_clips(work, refined, this.name)
    if work.refiner:
        this.before_sam = this.final
        this.final = refine_clips(work, this.final, this.selection, this.name)
    return this
