"""The report of a run as plain numbers and texts; flows/reports/tables.py prints it."""

import math
import sys
from dataclasses import asdict, dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import psutil

from motion_adapt.flows.run.run import Run
from motion_adapt.models.quality.gate import Decision


@dataclass
class Report:
    """All results of a run. `rounds` and `final` hold metrics by name; a missing name was not measured."""

    command: str
    source: str
    clips: dict[str, dict[str, Any]] = field(default_factory=dict)
    set_aside: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)  # by path in the source: why it was not taken
    unscored: list[str] = field(default_factory=list)  # clips of an adaptation without usable annotations
    warnings: list[str] = field(default_factory=list)
    still: dict[str, list[list[int]]] = field(default_factory=dict)  # first and last of frames without motion
    shots: dict[str, list[str]] = field(default_factory=dict)  # by video that was split: its shots
    by_hand: dict[str, list[str]] = field(default_factory=dict)  # by clip: names of frames with masks by hand
    # By clip: masks of frames in between, carried along flow.
    filled: dict[str, int] = field(default_factory=dict)
    doubtful: list[dict[str, Any]] = field(default_factory=list)  # the frames that deserve a look
    figures: str = ""  # "smoke" if the weights were trained too little for metrics to mean anything
    provenance: dict[str, str] = field(default_factory=dict)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    final: dict[str, Any] = field(default_factory=dict)
    champion: str = ""
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_mb: float | None = None
    output: str = ""
    mlflow: dict[str, str] = field(default_factory=dict)

    def add_round(
        self,
        index: int,
        metrics: dict[str, float],
        decision: Decision,
        weights: dict[str, str | None],
        version: int,
    ) -> None:
        """Add a round."""
        self.rounds.append(
            {
                "round": index,
                "metrics": metrics,
                "decision": decision.verdict.value,
                "reasons": list(decision.reasons),
                "weights": weights,
                "registered_version": version,
            }
        )

    def take(self, run: Run) -> None:
        """Fill in the clips set aside, the warnings, the counts of the stages and the peak memory."""
        self.set_aside = dict(run.set_aside)
        self.skipped = dict(run.skipped)
        self.warnings = list(run.warnings)
        self.still = dict(run.still)
        self.shots = dict(run.shots)
        self.filled = {name: count for name, count in run.filled.items() if name in run.clips}
        if carried := sum(self.filled.values()):
            self.provenance["masks in between"] = f"{carried}, carried along DIS flow from both sides"
        self.stages = {name: asdict(count) for name, count in run.stages.items()}
        self.peak_memory_mb = peak_memory()

    def json(self) -> dict[str, Any]:
        """Return the report in plain JSON types: numbers that are not finite are null, unmeasured ones left out."""
        told = asdict(self)
        if self.peak_memory_mb is None:
            del told["peak_memory_mb"]
        cleaned: dict[str, Any] = _finite(told)
        return cleaned

    @property
    def recomputed(self) -> int:
        """Number of artifacts computed in this run."""
        return int(sum(count["computed"] for count in self.stages.values()))


def peak_memory() -> float:
    """Return the most memory that this process has held at once, in MB."""
    if sys.platform == "win32":
        return round(psutil.Process().memory_info().peak_wset / 2**20, 1)
    import resource

    unit = 1 if sys.platform == "darwin" else 2**10  # macOS counts bytes, others KB
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)


def mean_scores(clips: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the mean of every score over the scored clips."""
    import pandas as pd  # half a second, and without labels there are no scores

    table = pd.DataFrame(list(clips.values())).drop(columns=["frames", "alarms"], errors="ignore")
    return {str(name): float(table[name].mean()) for name in table if table[name].notna().any()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, Real) and not isinstance(value, Integral):
        return float(value) if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
