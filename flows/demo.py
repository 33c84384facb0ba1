"""Demo: the whole pipeline on generated clips, in a few minutes on two cores.

    clips    a few synthetic videos with their true masks, in DAVIS layout
    adapt    one short round on them with the shipped weights, scored against the true masks

The weights were trained on clips of the same kind, though not on these, so real video is harder.
"""

import time
from pathlib import Path

from prefect import flow

from motion_adapt.flows.adapt import adapt
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.run.runners import DEFAULT_RUNNER
from motion_adapt.flows.run.tracking import Tracking
from motion_adapt.flows.synthesise import synthesise
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.settings import (
    ClipNetworkSettings,
    OclrTrainingSettings,
    Settings,
)
from motion_adapt.tasks.synthesis import SyntheticSet

CLIPS, STEPS, CLIP_STEPS = 3, 90, 150
# a seed that pre-training, which counts its seeds from 0, never uses
MADE_OF = SyntheticSet(seed=2024, frames=16, size=(240, 416), gaps=())


@flow(name="demo", task_runner=DEFAULT_RUNNER)
def demo(folder: str, place: Place = Place(), tracking: Tracking = Tracking()) -> Report:
    """Generate clips in `folder` and adapt to them."""
    home, began = Path(folder), time.monotonic()
    synthesise(str(home / "clips"), CLIPS, MADE_OF)
    report = adapt(
        str(home / "clips"),
        settings=Settings(
            oclr_finetuning=OclrTrainingSettings(steps=STEPS, frames=8),
            clip_network=ClipNetworkSettings(steps=CLIP_STEPS),
        ),
        output=str(home / "results"),
        place=place,
        tracking=tracking.model_copy(update={"experiment": "demo"}),
    )
    report.seconds["total"] = time.monotonic() - began
    return report
