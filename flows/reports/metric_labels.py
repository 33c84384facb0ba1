"""What the figures are called on a page for people, and which way is better."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """A figure in words. better: 1 higher, -1 lower, 0 neither."""

    title: str
    better: int
    percent: bool
    meaning: str


MEASURES = {
    "proposal/J": Words("Proposals J", 1, True, "the flow model's masks against the labels"),
    "adapted/J": Words("Corrector adapted J", 1, True, "old proposals, corrected by the adapted corrector"),
    "corrected/J": Words("Corrected J", 1, True, "the round's corrections"),
    "per_clip/J": Words("Adapted to each clip J", 1, True, "corrections by each clip's own corrector"),
    "final/J": Words("Final J", 1, True, "at the frames' own size: all objects as one foreground"),
    "final/F": Words("Final F", 1, True, "contours of the final masks"),
    "final/J_matched": Words("Final J, matched", 1, True, "the one object that fits the labels best: chosen with them"),
    "selection/AP": Words("Selection AP", 1, False, "how well frames are ranked by their masks' IoU"),
    "quality": Words("Quality", 1, False, "one label-free figure of those below"),
    "flow_consistency": Words("Flow consistency", 1, False, "do neighbouring masks agree along the flow?"),
    "agreement_proposal": Words("Agreement with proposals", 0, False, "IoU of corrections and proposals"),
    "agreement_previous": Words("Agreement with the round before", 0, False, "IoU of the corrections"),
    "exemplar_error": Words("Predicted error, exemplars", -1, False, "by what ranks the frames"),
    "frame_error": Words("Predicted error, all frames", -1, False, "by what ranks the frames"),
    "empty_frames": Words("Empty frames", -1, True, "without any object"),
    "coverage": Words("Coverage", 0, True, "pixels that are foreground"),
    "identity_switches": Words("Identity switches", -1, True, "frames whose objects sit in another channel"),
    "identity_previous": Words("Same identities", 1, True, "frames whose objects are those of the round before"),
    "alarmed_clips": Words("Clips with an alarm", -1, True, "empty, full, or swapping identities"),
}  # fmt: skip
STEPS = (  # of a round's staircase: metric, its step
    ("proposal", "proposed"),
    ("adapted", "corrector adapted"),
    ("corrected", "corrected"),
    ("per_clip", "per clip"),
    ("final", "final"),
)
SMALL = ("quality", "flow_consistency", "frame_error", "agreement_proposal", "empty_frames", "coverage")
VERDICTS = {
    "keep": ("Kept", "No measure got worse by more than its threshold."),
    "hold": ("Held", "Something got worse or cannot be compared: the masks and the champion of before stay."),
    "roll_back": ("Rolled back", "A collapse or a clear drop: the next round starts from the last one that was kept."),
}  # fmt: skip
FIRST_KEPT = "The first round of an adaptation has nothing before it to be worse than."
