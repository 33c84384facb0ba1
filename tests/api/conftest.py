"""A folder as a user has it: frames of a clip and its true masks; and the homes of the flows' tests."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from motion_adapt.models.inputs.imaging import labels_from_masks
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.storage.formats.masks import write_masks
from tests.flows.conftest import (  # noqa: F401
    adapted,
    again,
    home,
    segmented,
    smoke_clips,
    smoke_weights,
)

# larger than the working size, so that masks follow fine edges too; more frames than a window has
SIZE, FRAMES = (136, 240), 8


def write_example(folder: Path) -> None:
    """A clip `heron` in clips/ and its true masks in annotations/, as the examples in docstrings expect them."""
    clip = SyntheticClips(seed=7, frames=FRAMES, size=SIZE).make(0)
    names = [f"{index:05d}" for index in range(FRAMES)]
    (folder / "clips" / "heron").mkdir(parents=True)
    for name, frame in zip(names, clip.rgb, strict=True):
        Image.fromarray(frame).save(folder / "clips" / "heron" / f"{name}.png")
    write_masks(folder / "annotations", "heron", names, labels_from_masks(clip.modal))


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Path:
    """The current directory, with such a clip in it, and MLflow's database, which takes seconds to make."""
    write_example(tmp_path)
    (tmp_path / "motion-adapt").mkdir()
    shutil.copy(empty_database, tmp_path / "motion-adapt" / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOTION_ADAPT_CLIP_NETWORK__ENABLED", "false")  # takes half a minute for each clip
    return tmp_path
