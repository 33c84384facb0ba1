"""Demo: the whole system on generated clips, from nothing to masks, in a few minutes on two cores.

    clips       a few synthetic videos with their true masks, in DAVIS layout
    pretrain    the compact networks, for a few steps only
    adapt       one round on those clips, scored against the true masks

Weights trained for so short a time only show that every stage runs, and every figure says so.
"""

import shutil
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from prefect import flow

from flows.adapt import adapt
from flows.ledger import Tracking
from flows.pretrain import pretrain
from flows.report import Report
from flows.runners import DEFAULT_RUNNER
from models.imaging import labels_from_masks
from models.synthetic import SyntheticClip, SyntheticClips
from storage.masks import write_masks
from storage.whole import whole_folder
from tasks.progress import track
from tasks.settings import OclrTrainingSettings, PretrainSettings, Settings, TrainingSettings
from tasks.stage import Place

SEED = 2024  # of clips that pre-training, which counts its seeds from 0, never sees
CLIPS, FRAMES = 3, 16
SIZE = 240, 416  # height and width of the files


@flow(name="demo", task_runner=DEFAULT_RUNNER)
def demo(folder: str, steps: int = 60, place: Place = Place(), tracking: Tracking = Tracking()) -> Report:
    """Generate clips in `folder`, train for `steps` steps, adapt, and report."""
    home = Path(folder)
    write_clips(home / "clips")
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


def write_clips(folder: Path) -> None:
    """Synthetic clips as JPEG frames and indexed masks, in DAVIS layout, whole or not at all."""
    if folder.is_dir():
        shutil.rmtree(folder)
    supply = SyntheticClips(seed=SEED, frames=FRAMES)
    with whole_folder(folder) as beside, track(CLIPS, "generate clips") as advance:
        for index in range(CLIPS):
            write_clip(beside, f"synthetic-{index + 1}", supply.make(index))
            advance(1)


def write_clip(folder: Path, name: str, clip: SyntheticClip) -> None:
    """One clip: frames in JPEGImages/480p, true masks in Annotations/480p."""
    height, width = SIZE
    names = [f"{index:05d}" for index in range(len(clip.rgb))]
    frames = folder / "JPEGImages" / "480p" / name
    frames.mkdir(parents=True)
    for frame_name, frame in zip(names, clip.rgb, strict=True):
        picture = cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC)
        Image.fromarray(picture).save(frames / f"{frame_name}.jpg", quality=92)
    labels = [
        cv2.resize(one, (width, height), interpolation=cv2.INTER_NEAREST)
        for one in labels_from_masks(clip.modal)
    ]
    write_masks(folder / "Annotations" / "480p", name, names, [np.asarray(one, np.uint8) for one in labels])
