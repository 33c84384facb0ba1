"""State of a run's rounds: the parts they share, and the results of each."""

from dataclasses import dataclass, field, replace

from motion_adapt.flows.rounds.materials import Materials
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.run import ByClip, Run
from motion_adapt.flows.run.start_weights import StartWeights
from motion_adapt.models.sam.find_sam import SamFiles
from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.settings import Settings

# What a Round has of a clip's masks before the edges, in order; those of a step that was left out are empty.
REFINEMENTS = ("correction", "per_clip", "smoothed", "second_opinion", "by_network")


@dataclass(frozen=True)
class Work:
    """The run, settings and materials shared by all rounds."""

    run: Run
    settings: Settings
    materials: Materials
    refiner: SamFiles | None = None  # the model of the settings that refines masks

    def need_refiner(self) -> SamFiles:
        """Return the model that refines masks.

        Raises:
            RunError: if the run has none.
        """
        if self.refiner is None:
            raise RunError("this run has no model that refines masks: name one with sam.model")
        return self.refiner


@dataclass
class Round:
    """The results of one round, as artifacts by clip name.

    If the run adds DIS flow, a round has a second pass in `by_dis`: a Round of the same index, up to the edges.
    """

    index: int
    weights: StartWeights
    from_dis: bool = False  # whether this is such a second pass
    proposal: ByClip = field(default_factory=dict)
    selection: ByClip = field(default_factory=dict)
    correction: ByClip = field(default_factory=dict)
    # Corrections by the adapted corrector, before OCLR is fine-tuned.
    adapted: ByClip = field(default_factory=dict)
    clip_correctors: ByClip = field(default_factory=dict)  # correctors adapted to single clips
    per_clip: ByClip = field(default_factory=dict)  # corrections by those correctors
    smoothed: ByClip = field(default_factory=dict)  # the last of these, smoothed along the flow
    opinions: ByClip = field(default_factory=dict)  # these averaged with the shared network's masks
    second_opinion: ByClip = field(default_factory=dict)  # of both, those that fit the clip better
    by_network: ByClip = field(default_factory=dict)  # the last of these averaged with clip networks' masks
    edges: ByClip = field(default_factory=dict)  # the last of these, following the edges of the frames
    before_sam: ByClip = field(default_factory=dict)  # final masks before SAM refined them
    final: ByClip = field(default_factory=dict)
    quality: ByClip = field(default_factory=dict)
    scores: dict[str, ByClip] = field(default_factory=dict)  # by stage, if labels exist
    # First and last of the frames without motion, by clip.
    still: dict[str, list[list[int]]] = field(default_factory=dict)
    by_dis: "Round | None" = None
    # Clips whose masks, in `edges` and `final`, come from an earlier round or a second pass, and that Round.
    taken: dict[str, "Round"] = field(default_factory=dict)

    @property
    def refined(self) -> ByClip:
        """Every clip's masks after the last step at the networks' own size."""
        found: ByClip = {}
        for step in REFINEMENTS:
            found |= getattr(self, step)
        return found | self.edges

    def behind_the_masks(self) -> "Round":
        """Return this round with the steps that led to its masks: for clips in `taken`, those of that round."""
        found = replace(self)
        for step in ("proposal", "selection", *REFINEMENTS):
            made = {name: getattr(self.source(name), step).get(name) for name in getattr(self, step)}
            setattr(found, step, {name: artifact for name, artifact in made.items() if artifact})
        return found

    @property
    def name(self) -> str:
        """The round's name in output."""
        return f"round {self.index}, DIS flow" if self.from_dis else f"round {self.index}"

    def source(self, name: str) -> "Round":
        """Return the Round that a clip's masks come from: this one, or the one in `taken`."""
        return self.taken.get(name, self)

    def flow_of(self, name: str, materials: Materials) -> Artifact:
        """Return the flow that a clip's masks were proposed from."""
        return (materials.dis_flow if self.source(name).from_dis else materials.flow)[name]
