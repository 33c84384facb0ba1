"""State of a run's rounds: the parts they share, and the results of each."""

from dataclasses import dataclass, field, replace

from motion_adapt.flows.rounds.materials import Materials
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.run import ByClip, Run
from motion_adapt.flows.run.start_weights import StartWeights
from motion_adapt.models.sam.find_sam import SamFiles
from motion_adapt.tasks.settings import Settings


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
    """The results of one round, as artifacts by clip name."""

    index: int
    weights: StartWeights
    from_dis: bool = (
        False  # whether it proposes from DIS flow, beside a round that proposes from the run's own
    )
    proposal: ByClip = field(default_factory=dict)
    selection: ByClip = field(default_factory=dict)
    correction: ByClip = field(default_factory=dict)
    # Corrections by the adapted corrector, before OCLR is fine-tuned.
    adapted: ByClip = field(default_factory=dict)
    clip_correctors: ByClip = field(default_factory=dict)  # correctors adapted to single clips
    per_clip: ByClip = field(default_factory=dict)  # corrections by those correctors
    smoothed: ByClip = field(default_factory=dict)  # the last of these, smoothed along the flow
    by_network: ByClip = field(default_factory=dict)  # the last of these averaged with clip networks' masks
    edges: ByClip = field(default_factory=dict)  # the last of these, following the edges of the frames
    before_sam: ByClip = field(default_factory=dict)  # final masks before SAM refined them
    final: ByClip = field(default_factory=dict)
    quality: ByClip = field(default_factory=dict)
    scores: dict[str, ByClip] = field(default_factory=dict)  # by stage, if labels exist
    beside: "Round | None" = None  # the same from DIS flow, if the run adds that
    # Clips whose masks, in `edges` and `final`, are those of an earlier round or made from DIS flow, and that round.
    taken: dict[str, "Round"] = field(default_factory=dict)

    @property
    def refined(self) -> ByClip:
        """Every clip's masks after the last step at the networks' own size."""
        return {**self.correction, **self.per_clip, **self.smoothed, **self.by_network, **self.edges}

    def behind_the_masks(self) -> "Round":
        """Return this round with the steps that led to its masks: for clips in `taken`, those of that round."""
        found = replace(self)
        for step in ("proposal", "selection", "correction", "per_clip", "smoothed", "by_network"):
            made = {name: getattr(self.taken.get(name, self), step).get(name) for name in getattr(self, step)}
            setattr(found, step, {name: artifact for name, artifact in made.items() if artifact})
        return found

    @property
    def name(self) -> str:
        """The round's name in output."""
        return f"round {self.index}, DIS flow" if self.from_dis else f"round {self.index}"

    def flow(self, materials: Materials) -> ByClip:
        """Return the flow that every clip's masks of this round were proposed from."""
        return {
            name: materials.dis_flow[name] if self.taken.get(name, self).from_dis else own
            for name, own in materials.flow.items()
        }
