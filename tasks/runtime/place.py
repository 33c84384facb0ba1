"""The place of a task: store, scratch folder, device and threads. Never part of a key."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import torch
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from motion_adapt.storage.artifacts.store import ArtifactStore
from motion_adapt.storage.keys import Recipe
from motion_adapt.storage.locks import alone
from motion_adapt.tasks.runtime.progress import raise_if_stopping
from motion_adapt.tasks.runtime.variables import workers_from_environment


def share_of_cores(workers: int | None = None) -> int:
    """Return the cores per task if `workers` tasks run at once; the default is taken from the environment."""
    return max(1, (os.cpu_count() or 1) // (workers or workers_from_environment()))


class Place(BaseModel):
    """The device, threads and folders of a task. Never part of a key."""

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
        description="seconds to wait for another process that computes the same artifact or holds the GPU",
    )
    label: str = Field("", description="name of this piece of work in progress lines")
    _resolved: bool = PrivateAttr(False)

    def resolved(self, gpus_elsewhere: bool | None = None) -> "Place":
        """Return the place with a definite device and absolute paths, so that tasks in other processes agree on them.

        A place that was resolved before is returned as it is.

        Args:
            gpus_elsewhere: if tasks run on other machines, whether those have GPUs; else None. An explicit device is
                then not checked.

        Raises:
            ValueError: if torch does not know or does not have the device.
        """
        if self._resolved:
            return self
        device, here = self.device, gpus_elsewhere is None
        if device == "auto":
            device = "cuda" if (torch.cuda.is_available() if here else gpus_elsewhere) else "cpu"
        try:
            if here:
                torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:  # no such device; torch without CUDA
            raise ValueError(f"device '{device}' can't be used here: {str(error).splitlines()[0]}") from error
        store = self.store if "://" in self.store else str(Path(self.store).resolve())
        place = self.model_copy(
            update={"device": device, "store": store, "scratch": str(Path(self.scratch).resolve())}
        )
        place._resolved = True
        return place

    def labelled(self, label: str) -> "Place":
        """Return the place with another label."""
        return self.model_copy(update={"label": label})

    def open(self) -> ArtifactStore:
        """Open the store of this place."""
        return ArtifactStore(self.store)

    def disk(self) -> Path | None:
        """Return the folder that a local store is in or will be made in; None for a remote store."""
        if "://" in self.store:
            return None
        folder = Path(self.store).resolve()
        return next(path for path in (folder, *folder.parents) if path.exists())

    @contextmanager
    def alone(self, recipe: Recipe, attempt: str) -> Iterator["Place"]:
        """Lock an artifact against other processes of this machine; yield the place at which to compute it.

        If another process holds the lock for longer than `patience`, the place yielded has its own scratch folder:
        both processes continue, and never write the same training state.
        """
        lock = Path(self.scratch) / ".locks" / f"{recipe.stage}-{recipe.key}"
        with alone(lock, patience=self.patience, between=raise_if_stopping) as held:
            yield self if held else self.model_copy(update={"scratch": str(Path(self.scratch) / attempt)})

    def training_state(self, recipe: Recipe) -> Path:
        """Return the path of the resumable state of a recipe's training."""
        folder = Path(self.scratch)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{recipe.stage}-{recipe.key}.pt"

    def forget_training(self, recipe: Recipe) -> None:
        """Delete the files of a recipe's training from the scratch folder, after its artifact was published."""
        for path in self._left_by_training(recipe):
            path.unlink(missing_ok=True)

    def tidy(self, recipe: Recipe, attempt: str) -> None:
        """Delete the files of a training that was killed just after publication, unless another process runs it."""
        if self._left_by_training(recipe):
            with self.model_copy(update={"patience": 0.0}).alone(recipe, attempt) as own:
                own.forget_training(recipe)

    def _left_by_training(self, recipe: Recipe) -> list[Path]:
        return list(Path(self.scratch).glob(f"{recipe.stage}-{recipe.key}.*"))


def scratch_beside(store: str) -> Path:
    """Return the default folder for the states of unfinished trainings: next to the store if that is local."""
    return Path("motion-adapt/scratch") if "://" in store else Path(store).parent / "scratch"


def place_for(
    store: str,
    device: str = "auto",
    threads: int | None = None,
    workers: int | None = None,
    *,
    elsewhere: bool = False,
) -> Place:
    """Return the place of a run, resolved unless its tasks run elsewhere.

    Unfinished trainings are kept next to a local store.

    Args:
        store: a folder or any fsspec URL.
        device: cpu, cuda, cuda:1, ...; auto: a GPU if there is one.
        threads: threads of every computation; None: a worker's share of the cores.
        workers: how many clips are processed at once on one machine.
        elsewhere: whether the tasks run on other machines, whose device cannot be tried here.

    Raises:
        ValueError: for a device that this machine does not have.
    """
    threads = threads or share_of_cores(workers)
    place = Place(store=store, scratch=str(scratch_beside(store)), device=device, threads=threads)
    return place if elsewhere else place.resolved()


def use_threads(threads: int) -> None:
    """Set the thread count of torch and OpenCV in this thread. It affects the last bits of sums."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
