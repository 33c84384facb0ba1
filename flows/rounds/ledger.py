"""The round ledger: records an adaptation and its rounds in MLflow.

Invariant: there is one parent run per adaptation and one child run per round. An interrupted adaptation is found again
by its key and resumed, so no round is recorded twice, and a metric is written again only if its value has changed.
Used as a context manager, the ledger marks an adaptation that ends in an error as failed.
"""

import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.rounds.champion import promote_champion
from motion_adapt.flows.rounds.round_metrics import SCORE_NAMES, clip_rows
from motion_adapt.flows.rounds.state import Round
from motion_adapt.flows.run.live_curves import enter_curves
from motion_adapt.flows.run.run import Run, source_name
from motion_adapt.flows.run.weight_checks import not_label_free
from motion_adapt.models.networks.lineage import BY_HAND
from motion_adapt.models.quality.gate import Decision
from motion_adapt.storage.keys import digest
from motion_adapt.storage.names import printable
from motion_adapt.storage.registry import Registry
from motion_adapt.storage.tracking import REQUEST_TAG, START_TAG, Tracker
from motion_adapt.tasks.checkpoints import FILE
from motion_adapt.tasks.settings import Settings


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C during the block, because impatient people press it twice."""
    if threading.current_thread() is not threading.main_thread():  # Python never delivers it to other threads
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Ledger:
    """Records one adaptation and its rounds in MLflow; see the module docstring for the invariant."""

    def __init__(
        self,
        tracker: Tracker,
        *,
        source: str,
        settings: Settings,
        asked: dict[str, Any],
        start: dict[str, str | None],
        figures: str,
        pruned: bool = False,
        by_hand: int = 0,
    ) -> None:
        self.tracker, self.registry, self._pruned = tracker, Registry(tracker), pruned
        self._by_hand = by_hand
        self._figures = {"figures": figures} if figures else {}
        if why := not_label_free(settings):
            self._figures["annotations"] = why
        if by_hand:
            self._figures[BY_HAND] = str(by_hand)
        self.key = digest({**asked, "start": start})[:16]
        self.parent = tracker.begin(
            kind="adaptation",
            key=self.key,
            name=f"{source_name(source)} {time.strftime('%Y-%m-%d %H:%M')}",
            params=settings.model_dump(mode="json"),
            tags={
                "source": printable(source),
                REQUEST_TAG: digest(asked),
                **self._figures,
                **{f"{START_TAG}{name}": str(ref) for name, ref in start.items()},
            },
        )
        self._settings = settings

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind:
            with uninterrupted():
                self.tracker.finish(self.parent, failed=True)

    def write(self, run: Run, this: Round, metrics: dict[str, float], decision: Decision) -> int:
        """Record a round: metrics, per-clip table, training curves, checkpoints. Returns its registered version."""
        tags = {"decision": decision.verdict.value, "reasons": "; ".join(decision.reasons), **self._figures}
        child = self.tracker.begin(
            kind="round",
            key=f"{self.key}-{this.index}",
            name=this.name,
            params={"round": this.index, **self._settings.model_dump(mode="json")},
            tags={**tags, "round": str(this.index)},
            parent=self.parent,
        )
        self.tracker.tag(child, tags)
        self.tracker.log(child, metrics)
        self.tracker.table(child, clip_rows(run, this), "clips")
        store = run.place.open()
        with tempfile.TemporaryDirectory() as folder:
            for model, artifact in this.weights.files(self._settings).items():
                data = run.read(lambda artifact=artifact: store.open(artifact).read(FILE))  # type: ignore[misc]
                (Path(folder) / f"{model}.safetensors").write_bytes(data)
                enter_curves(self.tracker, child, model, run.summary(artifact).get("curves", {}))
            self.tracker.files(child, sorted(Path(folder).iterdir()), "checkpoints")
        version = self.registry.register(child, "checkpoints", {"round": str(this.index), **tags})
        self.tracker.finish(child)
        return version

    def promote(self, version: int, metrics: dict[str, float]) -> str:
        """Propose a version as champion. Returns the outcome as a sentence."""
        return promote_champion(self.registry, version, metrics, pruned=self._pruned, by_hand=self._by_hand)

    def close(self, kept: Round, strips: list[Path], doubtful: dict[str, list[Path]], report: Report) -> None:
        """Record the pictures of the round that was kept and the final metrics, and end the adaptation's run.

        Args:
            kept: the round.
            strips: paths of the stage strips.
            doubtful: paths of the pictures of doubtful frames, by clip.
            report: of the adaptation.
        """
        child = self.tracker.begin(
            kind="round", key=f"{self.key}-{kept.index}", name=kept.name, params={}, parent=self.parent
        )
        self.tracker.files(child, strips, "strips")
        for clip, pictures in doubtful.items():
            self.tracker.files(child, pictures, f"doubtful/{clip}")
        self.tracker.finish(child)
        finals = {f"final/{name}": value for name, value in report.final.items() if name in SCORE_NAMES}
        self.tracker.log(self.parent, finals)
        self.tracker.json(self.parent, report.json(), "report")
        self.tracker.finish(self.parent)
