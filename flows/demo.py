"""Demo: the whole system on generated clips, from nothing to masks, in a few minutes on two cores.

    clips       a few synthetic videos with their true masks, in DAVIS layout
    pretrain    the compact networks, for a few steps only
    adapt       one round on those clips, scored against the true masks

Weights trained for so short a time only show that every stage runs, and every figure says so.
"""

import time
from pathlib import Path

from prefect import flow

from flows.adapt import adapt
from flows.ledger import Tracking
from flows.pretrain import pretrain
from flows.report import Report
from flows.runners import DEFAULT_RUNNER
from flows.synthesise import synthesise
from tasks.settings import OclrTrainingSettings, PretrainSettings, Settings, TrainingSettings
from tasks.stage import Place
from tasks.synthesis import SyntheticSet

CLIPS = 3
# clips that pre-training, which counts its seeds from 0, never sees
MADE_OF = SyntheticSet(seed=2024, frames=16, size=(240, 416), gaps=())


@flow(name="demo", task_runner=DEFAULT_RUNNER)
def demo(folder: str, steps: int = 60, place: Place = Place(), tracking: Tracking = Tracking()) -> Report:
    """Generate clips in `folder`, train for `steps` steps, adapt, and report."""
    home = Path(folder)
    synthesise(str(home / "clips"), CLIPS, MADE_OF)
    settings = Settings(
        pretrain=PretrainSettings(steps=steps, pool=12),
        corrector_adaptation=TrainingSettings(steps=20),
        oclr_finetuning=OclrTrainingSettings(steps=20, frames=8),
    )
    began = time.monotonic()
    trained = pretrain(str(home / "weights"), settings=settings, place=place, tracking=tracking)
    report = adapt(
        str(home / "clips"),
        settings=settings,
        weights=str(home / "weights"),
        output=str(home / "results"),
        place=place,
        tracking=tracking.model_copy(update={"experiment": "demo"}),
    )
    report.stages = trained.stages | report.stages
    report.seconds |= {"pretrain": trained.seconds["total"], "total": time.monotonic() - began}
    return report
