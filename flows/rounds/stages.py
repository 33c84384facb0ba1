"""The stages of a round at the networks' own size: each function runs one of them for every clip.

The order is in `flows/rounds/rounds.py`, and the stages at native size are in `flows/rounds/final_masks.py`.
"""

from pathlib import Path
from typing import Any

from motion_adapt.flows.rounds.adapt_models import pseudo_label
from motion_adapt.flows.rounds.state import Round, Work
from motion_adapt.flows.run.run import ByClip
from motion_adapt.storage.formats.masks import masks_content
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.by_hand import replace_proposals
from motion_adapt.tasks.clip_network import ask_shared_network, segment_clip, train_on_clips
from motion_adapt.tasks.correction import correct
from motion_adapt.tasks.edges import follow_edges
from motion_adapt.tasks.per_clip import adapt_to_clip
from motion_adapt.tasks.proposal import propose, take_proposals
from motion_adapt.tasks.selection import select
from motion_adapt.tasks.settings import NETWORK_METHODS
from motion_adapt.tasks.smoothing import smooth

NAMED = 5  # stretches of frames without motion that a warning names; it counts the others


def propose_clips(work: Work, this: Round) -> ByClip:
    """Propose masks for every clip with OCLR, or read the ready-made ones that the settings name."""
    folder = work.settings.proposal.folder
    if folder is None:
        by_dis = this.from_dis or work.settings.flow.estimator == "dis"
        made = work.run.each(
            propose,
            f"{this.name}: propose",
            lambda name: {
                "frames": work.materials.frames[name],
                "flow": this.flow_of(name, work.materials),
                "weights": this.weights.need("oclr"),
                "settings": work.settings.proposal,
                "precision": work.settings.precision,
                "learnt_flow": None if by_dis else True,
            },
        )
        this.still = {name: work.run.summary(one)["without_motion"] for name, one in made.items()}
        return replace_by_hand(work, this, made)

    def given(name: str) -> dict[str, Any]:
        names = work.materials.names[name]
        return {
            "frames": work.materials.frames[name],
            "content": masks_content(Path(folder), name, names),
            "objects": work.settings.objects,
            "background": work.settings.mask_background,
            "folder": folder,
            "names": names,
        }

    taken = work.run.each(take_proposals, f"{this.name}: take proposals", given, keep_results=True)
    return replace_by_hand(work, this, taken)


def replace_by_hand(work: Work, this: Round, proposal: ByClip) -> ByClip:
    """Put masks by hand in the place of what was proposed for their frames. Other clips keep their artifacts."""
    masks = work.materials.given
    replaced = work.run.each(
        replace_proposals,
        f"{this.name}: masks by hand",
        lambda name: {"proposal": proposal[name], "given": masks[name]},
        only=[name for name in work.run.clips if name in masks],
        keep_results=True,
    )
    return {**proposal, **replaced}


def name_still(work: Work, this: Round) -> None:
    """Warn about the frames without motion: they propose nothing, are no exemplars and teach nothing."""
    still = {name: this.source(name).still.get(name) for name in work.run.clips}
    work.run.still = {name: stretches for name, stretches in still.items() if stretches}
    for name, stretches in work.run.still.items():
        names = work.materials.names[name]
        told = [
            names[first] if first == last else f"{names[first]} to {names[last]}" for first, last in stretches
        ]
        more = f" and {len(told) - NAMED} more stretches" if len(told) > NAMED else ""
        work.run.warn(
            f"{name}: nothing moves apart from the camera in {', '.join(told[:NAMED])}{more}; these frames propose "
            "nothing and teach nothing"
        )


def select_clips(work: Work, this: Round) -> ByClip:
    """Select every clip's exemplars by the method in the settings."""
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
            "settings": work.settings.selection.without_given(),
            "precision": work.settings.precision,
            "seed": work.settings.seed if method == "random" else None,
        },
    )


def correct_clips(
    work: Work, this: Round, proposal: ByClip, selection: ByClip, correctors: ByClip | None = None
) -> ByClip:
    """Correct every clip with the round's corrector or, if `correctors` are given, those clips with their own."""
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
        forgive=correctors is not None,  # the clip still has the correction by the round's corrector
    )


def adapt_to_clips(work: Work, this: Round) -> ByClip:
    """Adapt a corrector to each clip and correct with it. Clips without a mask keep the round's correction.

    The round's measures judge the corrections before these.
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
            "dice": work.settings.pseudo_labels.dice,
            "window": work.settings.correction.window,
            "seed": work.settings.seed,
        },
        only=list(labels),
        forgive=True,  # the clip still has the correction by the round's corrector
    )
    own = correct_clips(work, this, this.proposal, this.selection, this.clip_correctors)
    return {**this.correction, **own}


def smooth_clips(work: Work, this: Round, correction: ByClip) -> ByClip:
    """Smooth corrections along the flow that the proposals are made from."""
    return work.run.each(
        smooth,
        f"{this.name}: smooth",
        lambda name: {
            "flow": work.materials.flow[name],
            "proposal": this.proposal[name],
            "correction": correction[name],
            "settings": work.settings.smoothing,
        },
    )


def gives_second_opinions(work: Work, this: Round) -> bool:
    """Tell whether the shared network is asked about masks.

    It must see motion to know enough of a new clip, and a network that is trained on these clips only repeats itself.
    """
    settings, network = work.settings.clip_network, this.weights.clip_network
    if not (settings.second_opinion and network) or work.settings.shared_network.steps:
        return False
    sees_motion = bool(work.run.summary(network)["settings"]["network"].get("motion"))
    if not sees_motion and not this.index and not this.from_dis:
        work.run.warn("the clip_network of these weights sees no motion: it gives no second opinions")
    return sees_motion


def ask_for_second_opinions(work: Work, this: Round, masks: ByClip) -> ByClip:
    """Return the mean of `masks` and those of the shared network for clips that this fits better, else `masks`."""
    this.opinions = work.run.each(
        ask_shared_network,
        f"{this.name}: second opinions",
        lambda name: {
            **to_refine(work, this, name, masks),
            "speed": this.flow_of(name, work.materials),
            "network": this.weights.clip_network,
            "settings": work.settings.clip_network.for_second_opinion(),
        },
        forgive=True,
    )
    return {**masks, **{name: made for name, made in this.opinions.items() if work.run.summary(made)["used"]}}


def segment_by_network(work: Work, this: Round, masks: ByClip) -> ByClip:
    """Return masks by a network that is trained on each clip; `masks` itself if that fails or finds something else.

    The round's measures judge the corrections before these.
    """
    own = work.run.each(
        segment_clip,
        f"{this.name}: clip networks",
        lambda name: {
            **to_refine(work, this, name, masks),
            "speed": this.flow_of(name, work.materials) if work.settings.clip_network.motion else None,
            "start": this.weights.clip_network,
            "settings": work.settings.clip_network,
            "seed": work.settings.seed,
        },
        forgive=True,
    )
    return {**masks, **told_if_unused(work, this, own)}


def to_refine(work: Work, this: Round, name: str, masks: ByClip) -> dict[str, Any]:
    """Return the arguments by which a network's masks are averaged with those of a clip."""
    return {
        "frames": work.materials.frames[name],
        "flow": work.materials.flow[name],
        "proposal": this.proposal[name],
        "masks": masks[name],
        "smoothing": work.settings.smoothing,
    }


def told_if_unused(work: Work, this: Round, made: ByClip) -> ByClip:
    """Return `made`, after a warning for every clip that keeps its masks because its network shows something else."""
    least = work.settings.clip_network.agreement
    for name, one in made.items():
        found = work.run.summary(one)
        if not found["used"]:
            why = f"IoU {found['agreement']:.2f} with its masks, clip_network.agreement={least}"
            work.run.warn(
                f"{this.name}: {name} keeps its masks, its clip network shows something else ({why})"
            )
    return made


def follow_clips_edges(work: Work, this: Round, masks: ByClip) -> ByClip:
    """Move mask borders to where colour or motion changes."""
    return work.run.each(
        follow_edges,
        f"{this.name}: follow edges",
        lambda name: {
            "frames": work.materials.frames[name],
            "flow": work.materials.flow[name],
            "masks": masks[name],
            "settings": work.settings.edges,
        },
    )


def shared_network(work: Work, this: Round, masks: ByClip) -> Artifact:
    """Train the shared network further on `masks`, in the order of their keys: renaming a clip changes nothing."""
    in_order = sorted(masks.items(), key=lambda item: item[1].key)
    motion = work.settings.clip_network.motion
    return work.run.once(
        train_on_clips,
        f"{this.name}: train the shared network",
        frames=[work.materials.frames[name] for name, _ in in_order],
        speed=[this.flow_of(name, work.materials) for name, _ in in_order] if motion else [],
        masks=[made for _, made in in_order],
        start=this.weights.clip_network,
        settings=work.settings.shared_network,
        seed=work.settings.seed + this.index,
    )
