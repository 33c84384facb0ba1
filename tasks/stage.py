"""What makes a plain function a stage: a Prefect task whose artifact the store keeps.

    @stage("proposal", version=1)
    def propose(flow: Artifact, *, settings: ProposalSettings, place: Place, out: ArtifactWriter): ...

The task is called with everything but `out` and returns the Artifact. Arguments that are artifacts are its inputs; all
others, but `place` and those marked `NotKeyed`, are the settings that the key is made of. The body runs only where
the store has no such artifact.
"""

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import cv2
import torch
from prefect import Task, task
from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from pydantic import BaseModel, ConfigDict, Field

from storage.artifacts import ArtifactStore
from storage.keys import Artifact, Recipe

_NOT_KEYED = "not part of the key"
T = TypeVar("T")
NotKeyed = Annotated[T, _NOT_KEYED]


class Place(BaseModel):
    """Where a task runs and stores: never part of a key."""

    model_config = ConfigDict(frozen=True)

    store: str = Field("motion-adapt/store", description="a local path or any fsspec URL")
    scratch: str = Field(
        "motion-adapt/scratch", description="local folder for the states of unfinished trainings"
    )
    device: str = Field("auto", description="cpu, cuda, cuda:1, ...; auto: a GPU if there is one")
    threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    label: str = Field("", description="what progress lines call this piece of work")

    def resolved(self) -> "Place":
        """The same place with its device known and its paths absolute, so that tasks elsewhere agree on them.

        Raises:
            ValueError: for a device that torch does not know or does not have.
        """
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
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

    def training_state(self, recipe: Recipe) -> Path:
        """Where the training of a recipe keeps its resumable state."""
        folder = Path(self.scratch)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{recipe.stage}-{recipe.key}.pt"


@dataclass(frozen=True)
class Plan:
    """Pure part of a stage: from arguments to the recipe."""

    name: str
    version: int
    inputs: frozenset[str]  # parameters that the key depends on

    def recipe(self, arguments: Mapping[str, Any]) -> Recipe:
        """The recipe of a call."""
        settings: dict[str, Any] = {}
        inputs: dict[str, Artifact] = {}
        for name in sorted(self.inputs):
            value = arguments[name]
            if isinstance(value, Artifact):
                inputs[name] = value
            elif (
                isinstance(value, list | tuple)
                and value
                and all(isinstance(item, Artifact) for item in value)
            ):
                inputs |= {f"{name}.{i:05d}": item for i, item in enumerate(value)}
            else:
                settings[name] = value
        return Recipe(self.name, self.version, settings, inputs)


@dataclass
class AskTheStore(CachePolicy):
    """Prefect's cache policy: its record counts only for the very attempt that the store vouches for.

    A published artifact's record is filed under the attempt that made it. Where the store has none (never made,
    deleted, damaged, inputs changed) the key names this task run, which has no record yet, so Prefect runs
    the task, and the task publishes under just that name.
    """

    plan: Plan | None = None

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """`stage/key/attempt`."""
        if self.plan is None:
            return None
        recipe = self.plan.recipe(inputs)
        found = inputs["place"].open().find(recipe)
        return f"{recipe.stage}/{recipe.key}/{found.attempt if found else task_ctx.task_run.id}"


def stage(name: str, *, version: int) -> Callable[[Callable[..., None]], Task[..., Artifact]]:
    """Make a Prefect task of a function that writes one artifact to its argument `out`.

    `version` is part of every key: raise it whenever the function gives other results for the same arguments.
    """

    def decorate(function: Callable[..., None]) -> Task[..., Artifact]:
        signature = inspect.signature(function)
        hints = get_type_hints(function, include_extras=True)
        unkeyed = {"place", "out"} | {
            parameter for parameter, hint in hints.items() if _NOT_KEYED in getattr(hint, "__metadata__", ())
        }
        plan = Plan(name, version, frozenset(set(signature.parameters) - unkeyed))
        wanted = signature.replace(
            parameters=[p for p in signature.parameters.values() if p.name != "out"],
            return_annotation=Artifact,
        )

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Artifact:
            bound = wanted.bind(*args, **kwargs)
            bound.apply_defaults()
            place: Place = bound.arguments["place"]
            recipe, store = plan.recipe(bound.arguments), place.open()
            lookup = store.lookup(recipe)
            if lookup.artifact:
                return lookup.artifact
            use_threads(place.threads)
            context = TaskRunContext.get()
            attempt = str(context.task_run.id) if context else None
            made = {"why": lookup.why, "device": place.device, "threads": place.threads}
            with store.write(recipe, attempt, made) as out:
                function(**bound.arguments, out=out)
            return out.published

        run.__signature__ = wanted  # type: ignore[attr-defined]
        return task(
            name=name,
            description=inspect.getdoc(function),
            cache_policy=AskTheStore(plan=plan),
            persist_result=True,
            result_serializer="json",
            cache_result_in_memory=False,
        )(run)

    return decorate


def use_threads(threads: int) -> None:
    """Give torch and OpenCV the one thread count of the run, in this thread: sums depend on it bit by bit."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
