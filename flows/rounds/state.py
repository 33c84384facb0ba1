"""State of a run's rounds: what they share, and what each of them made."""

from dataclasses import dataclass, field

from motion_adapt.flows.rounds.materials import Materials
from motion_adapt.flows.run.run import ByClip, Run
from motion_adapt.flows.run.start_weights import StartWeights
from motion_adapt.tasks.settings import Settings


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
