"""Adapt the models of a round: pseudo-labels, the corrector and OCLR (paper, section 3.4)."""

from collections.abc import Collection

from motion_adapt.flows.rounds.final_masks import refine_to_teach
from motion_adapt.flows.rounds.state import Round, Work
from motion_adapt.flows.run.run import ByClip
from motion_adapt.models.quality.measures import far_behind
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.adaptation import adapt_corrector, finetune_oclr
from motion_adapt.tasks.pseudo_labels import label


def find_far_behind(work: Work, this: Round, before: Round) -> list[str]:
    """Return the clips to leave out of the trainings: their masks of the round before are far worse than most."""
    quality = {
        name: work.run.summary(made)["measures"]["quality"]
        for name in work.run.clips
        if (made := before.source(name).quality.get(name))
    }
    behind = far_behind(quality)
    for name in behind:
        found = f"its quality in {before.name}, {quality[name]:.2f}, is far below most others'"
        work.run.warn(f"{this.name}: {name} is left out of the trainings: {found}")
    return behind


def pseudo_label(
    work: Work, this: Round, masks: ByClip, selection: ByClip, *, without: Collection[str] = ()
) -> ByClip:
    """Return pseudo-labels of `masks` by clip, ordered by artifact key so that renaming a clip changes nothing.

    Clips without a mask, and those in `without`, are skipped. With `sam.teach`, the masks are refined by SAM first.
    """
    taken = {name: masks[name] for name in work.run.clips if name not in without}
    if work.settings.sam.teach:
        taken = refine_to_teach(work, taken, selection, this.name)
    labels = work.run.each(
        label,
        f"{this.name}: pseudo-label",
        lambda name: {"masks": taken[name], "selection": selection[name]},
        only=list(taken),
    )
    in_order = sorted(labels.items(), key=lambda item: item[1].key)
    return {name: made for name, made in in_order if work.run.summary(made)["labelled_frames"]}


def adapted_corrector(work: Work, this: Round, before: Round, labels: ByClip) -> Artifact:
    """Adapt the corrector on exemplar frames. Returns it unchanged if no clip has a mask."""
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
        dice=work.settings.pseudo_labels.dice,
        window=work.settings.correction.window,
        seed=work.settings.seed + this.index,
    )


def finetuned_oclr(work: Work, this: Round, labels: ByClip) -> Artifact:
    """Fine-tune OCLR on pseudo-labels and other flow. Returns it unchanged if no clip has both."""
    pairs = [
        (flow[name], labels[name])
        for flow in (work.materials.adaptation_flow, work.materials.second_flow)
        for name in labels
        if name in flow
    ]
    if not pairs:
        work.run.warn(f"{this.name}: no clip has a mask and flow to learn from; OCLR stays as it is")
        return this.weights.need("oclr")
    return work.run.once(
        finetune_oclr,
        f"{this.name}: fine-tune OCLR",
        flow=[flow for flow, _ in pairs],
        labels=[label for _, label in pairs],
        weights=this.weights.need("oclr"),
        settings=work.settings.oclr_finetuning,
        dice=work.settings.pseudo_labels.dice,
        seed=work.settings.seed + this.index,
    )
