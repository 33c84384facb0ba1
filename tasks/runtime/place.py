"""The place of a task: store, scratch folder, device and threads. Never part of a key."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import torch
from pydantic import BaseModel, ConfigDict, Field

from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.keys import Recipe
from motion_adapt.storage.locks import alone
from motion_adapt.tasks.runtime.progress import raise_if_stopping

WORKERS = "MOTION_ADAPT_WORKERS"  # how many tasks a flow that no command line starts runs at once


def share_of_cores(workers: int | None = None) -> int:
    """The cores of this machine for each of `workers` at once; without a number: as many as the environment says."""
    return max(1, (os.cpu_count() or 1) // (workers or int(os.environ.get(WORKERS, "1"))))


class Place(BaseModel):
    """Where a task runs and stores: never part of a key."""

    model_config = ConfigDict(frozen=True)

    store: str = Field("motion-adapt/store", description="a local path or any fsspec URL")
    scratch: str = Field(
        "motion-adapt/scratch", description="local folder for the states of unfinished trainings"
    )
    device: str = Field("auto", description="cpu, cuda, cuda:1, ...; auto: a GPU if there is one")
    threads: int = Field(default_factory=share_of_cores, ge=1)
    patience: float = Field(
        6 * 3600,
        ge=0,
        description="seconds to wait for another process that makes the same artifact, or has the GPU",
    )
    label: str = Field("", description="what progress lines call this piece of work")

    def resolved(self, gpus_elsewhere: bool | None = None) -> "Place":
        """The same place with its device known and its paths absolute, so that tasks elsewhere agree on them.

        gpus_elsewhere: where tasks run on other machines, whether those have GPUs; a device that is named is believed.

        Raises:
            ValueError: for a device that torch does not know or does not have.
        """
        device, here = self.device, gpus_elsewhere is None
        if device == "auto":
            device = "cuda" if (torch.cuda.is_available() if here else gpus_elsewhere) else "cpu"
        try:
            if here:
                torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:  # no such device; torch without CUDA
            raise ValueError(f"device '{device}' can't be used here: {str(error).splitlines()[0]}") from error
        store = self.store if "://" in self.store else str(Path(self.store).resolve())
        return self.model_copy(
            update={"device": device, "store": store, "scratch": str(Path(self.scratch).resolve())}
        )

    def labelled(self, label: str) -> "Place":
        """The same place under another label."""
        return self.model_copy(update={"label": label})

    def open(self) -> ArtifactStore:
        """The store of this place."""
        return ArtifactStore(self.store)

    @contextmanager
    def alone(self, recipe: Recipe, attempt: str) -> Iterator["Place"]:
        """Be the only one on this machine to make an artifact; yields the place to make it at.

        Where another process holds on for longer than `patience`, that place has a scratch folder of its own: both
        go on, and no two ever write one training state.
        """
        lock = Path(self.scratch) / ".locks" / f"{recipe.stage}-{recipe.key}"
        with alone(lock, patience=self.patience, between=raise_if_stopping) as held:
            yield self if held else self.model_copy(update={"scratch": str(Path(self.scratch) / attempt)})

    def training_state(self, recipe: Recipe) -> Path:
        """Where the training of a recipe keeps its resumable state."""
        folder = Path(self.scratch)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{recipe.stage}-{recipe.key}.pt"

    def forget_training(self, recipe: Recipe) -> None:
        """Delete what the training of a recipe left in the scratch folder, now that its artifact is published."""
        for path in self._left_by_training(recipe):
            path.unlink(missing_ok=True)

    def tidy(self, recipe: Recipe, attempt: str) -> None:
        """Forget a training that was killed right after its publication; one that still runs is left alone."""
        if self._left_by_training(recipe):
            with self.model_copy(update={"patience": 0.0}).alone(recipe, attempt) as own:
                own.forget_training(recipe)

    def _left_by_training(self, recipe: Recipe) -> list[Path]:
        return list(Path(self.scratch).glob(f"{recipe.stage}-{recipe.key}.*"))


def scratch_beside(store: str) -> Path:
    """The local folder for the states of unfinished trainings that goes with a store: beside a local one."""
    return Path("motion-adapt/scratch") if "://" in store else Path(store).parent / "scratch"


def use_threads(threads: int) -> None:
    """Give torch and OpenCV the one thread count of the run, in this thread: sums depend on it bit by bit."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
