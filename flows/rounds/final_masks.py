"""Final masks of a round at native size, refined by SAM if the settings name a model; and refined masks to teach.

No pseudo-label is refined unless `sam.teach` is set, because these models were trained with annotations.
"""

from collections.abc import Mapping
from typing import Any

from motion_adapt.flows.rounds.state import Work
from motion_adapt.flows.run.run import ByClip
from motion_adapt.tasks.by_hand import put_back
from motion_adapt.tasks.final_masks import finish
from motion_adapt.tasks.sam import carry_by_sam, refine_by_sam, to_teach
from motion_adapt.tasks.settings import CrfSettings, EdgeSettings, Settings


def finish_clips(work: Work, correction: ByClip, head: str, crf: CrfSettings | None = None) -> ByClip:
    """Compute label maps at native size, with the CRF if `crf` enables it (default: the run's settings)."""
    crf = crf or work.settings.crf
    edges = None if crf.enabled else _fine_edges(work.settings)
    return work.run.each(
        finish,
        f"{head}: final masks",
        lambda name: {
            "frames": work.materials.frames[name],
            "correction": correction[name],
            "settings": crf,
            "clip": work.run.clips[name],
            **({"edges": edges, "flow": work.materials.flow[name]} if edges else {}),
            "given": work.materials.given.get(name),
        },
        only=[name for name in work.run.clips if name in correction],
    )


def _fine_edges(settings: Settings) -> EdgeSettings | None:
    """Return how final masks follow the edges of the native frames: with the spreads of those at working resolution."""
    if not (settings.edges.enabled and settings.fine_edges.enabled):
        return None
    return settings.edges.model_copy(update={"iterations": settings.fine_edges.iterations})


def refine_clips(work: Work, masks: ByClip, selection: ByClip, head: str) -> ByClip:
    """Refine label maps by the run's model. SAM 2 for video carries them from the exemplars of `selection`."""
    files, settings = work.need_refiner(), work.settings.sam
    keyed = settings.model_copy(update={"model": None, "teach": False})  # `content` stands for the model

    def arguments(name: str) -> dict[str, Any]:
        given = {
            "frames": work.materials.frames[name],
            "masks": masks[name],
            "content": files.content,
            "settings": keyed,
            "model": files.address,
            "clip": work.run.clips[name],
        }
        return {**given, "selection": selection[name]} if settings.video else given

    stage = carry_by_sam if settings.video else refine_by_sam
    refined = work.run.each(stage, f"{head}: refine by {files.name}", arguments, only=list(masks))
    asked, kept = (
        sum(work.run.summary(made)[count] for made in refined.values()) for count in ("asked", "kept")
    )
    if kept:
        work.run.warn(
            f"{head}: {kept} of {asked} masks stay as they were, since {files.name} shows something else "
            f"(IoU below sam.least_iou={settings.least_iou})"
        )
    by_hand = work.run.each(
        put_back,
        f"{head}: masks by hand",
        lambda name: {"masks": refined[name], "given": work.materials.given[name]},
        only=[name for name in refined if name in work.materials.given],
    )
    return {**refined, **by_hand}


def share_kept(summary: Mapping[str, Any]) -> float:
    """Return the share of a clip's masks for which SAM showed something else, from the summary of its refined masks."""
    share: float = summary["kept"] / max(1, summary["asked"])
    return share


def refine_to_teach(work: Work, masks: ByClip, selection: ByClip, head: str) -> ByClip:
    """Refine masks by SAM for pseudo-labels, at the networks' own size; the CRF never teaches."""
    head = f"{head}, to teach"
    native = finish_clips(work, masks, head, CrfSettings(enabled=False))
    refined = refine_clips(work, native, selection, head)
    return work.run.each(
        to_teach,
        f"{head}: masks",
        lambda name: {"masks": refined[name], "before": masks[name], "objects": work.settings.objects},
        only=list(refined),
    )
