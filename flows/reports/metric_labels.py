"""Titles and meanings of the metrics on an adaptation's page, and whether higher is better."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Label:
    """A metric in words. `better`: 1 if higher is better, -1 if lower is, 0 if neither."""

    title: str
    better: int
    percent: bool
    meaning: str


MEASURES = {
    "proposal/J": Label("Proposals J", 1, True, "the flow model's masks"),
    "adapted/J": Label("Corrector adapted J", 1, True, "old proposals, corrected by the adapted corrector"),
    "corrected/J": Label("Corrected J", 1, True, "the round's corrections"),
    "per_clip/J": Label("Adapted to each clip J", 1, True, "corrections by each clip's own corrector"),
    "smoothed/J": Label("Smoothed J", 1, True, "corrections, smoothed along the flow"),
    "second_opinion/J": Label("Second opinion J", 1, True, "averaged with the shared network's masks"),
    "clip_network/J": Label("Clip network J", 1, True, "with a network of each clip's own, smoothed again"),
    "edges/J": Label("Edges J", 1, True, "with borders where colour or motion changes"),
    "before_sam/J": Label("Before SAM J", 1, True, "at the frames' own size, before SAM refined them"),
    "final/J": Label("Final J", 1, True, "at the frames' own size"),
    "final/F": Label("Final F", 1, True, "contours of the final masks"),
    "final/SR": Label("Final SR", 1, True, "frames whose boxes overlap, mean of five bounds"),
    "final/J_matched": Label("Final J, matched", 1, True, "the one object that fits the labels best"),
    "selection/AP": Label("Selection AP", 1, False, "how well frames are ranked by their masks' IoU"),
    "quality": Label("Quality", 1, False, "one label-free figure, computed from those below"),
    "flow_consistency": Label("Flow consistency", 1, False, "how well neighbouring masks agree along the flow"),
    "agreement_proposal": Label("Agreement with proposals", 0, False, "IoU of corrections and proposals"),
    "agreement_previous": Label("Agreement with the round before", 0, False, "IoU of the corrections"),
    "exemplar_error": Label("Predicted error, exemplars", -1, False, "predicted by the selection"),
    "frame_error": Label("Predicted error, all frames", -1, False, "predicted by the selection"),
    "empty_frames": Label("Empty frames", -1, True, "frames without any object"),
    "coverage": Label("Coverage", 0, True, "share of foreground pixels"),
    "identity_switches": Label("Identity switches", -1, True, "frames whose objects are in other channels than usual"),
    "identity_previous": Label("Same identities", 1, True, "frames whose objects keep the last round's channels"),
    "threshold": Label("Threshold", 0, False, "probability above which a pixel shows an object, chosen for each clip"),
    "earlier_masks": Label("Earlier masks", 0, True, "clips whose masks of an earlier round fit better"),
    "opinion_heard": Label("Second opinions heard", 0, True, "clips whose masks fit better with the shared network's"),
    "masks_from_dis": Label("Masks from DIS flow", 0, True, "clips whose masks from DIS flow fit better"),
    "sam_kept": Label("Kept from SAM", 0, True, "masks for which SAM showed something else"),
    "alarmed_clips": Label("Clips with an alarm", -1, True, "empty, full, or swapping identities"),
}  # fmt: skip
STEPS = (  # steps of a round's staircase chart: stage, words
    ("proposal", "proposed"),
    ("adapted", "corrector adapted"),
    ("corrected", "corrected"),
    ("per_clip", "per clip"),
    ("smoothed", "smoothed"),
    ("second_opinion", "second opinion"),
    ("clip_network", "clip network"),
    ("edges", "edges"),
    ("before_sam", "before SAM"),
    ("final", "final"),
)
SMALL = ("quality", "flow_consistency", "frame_error", "agreement_proposal", "empty_frames", "coverage")
VERDICTS = {
    "keep": ("Kept", "No measure got worse by more than its threshold."),
    "hold": ("Held", "Something got worse or cannot be compared: the earlier masks and champion stay."),
    "roll_back": ("Rolled back", "A collapse or a clear drop: the next round starts from the last one that was kept."),
}  # fmt: skip
FIRST_KEPT = "The first round of an adaptation is always kept: there is no earlier round to compare it with."
