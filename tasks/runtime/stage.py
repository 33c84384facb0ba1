"""The `stage` decorator: turns a plain function into a Prefect task that publishes one artifact in the store.

    @stage("proposal", version=1)
    def propose(flow: Artifact, *, settings: ProposalSettings, place: Place, out: ArtifactWriter): ...

The task takes all arguments except `out` and returns the Artifact. Arguments that are artifacts are its inputs. All
others, except `place` and those marked `NotKeyed`, are settings and part of the key. An argument marked `IfGiven` is
part of the key only if it is not None, so that a stage can get a new argument without new keys for all who do not use
it. The body runs only if the store has no such artifact.
"""

import functools
import inspect
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_type_hints

from prefect import Task, task
from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.states import Completed

from motion_adapt.storage.keys import Artifact, Recipe
from motion_adapt.tasks.runtime.gpu import gpu_to_itself
from motion_adapt.tasks.runtime.place import Place, use_threads
from motion_adapt.tasks.runtime.prefect_records import drop_if_damaged, record_key

_NOT_KEYED, _IF_GIVEN = "not part of the key", "part of the key if it is not None"
T = TypeVar("T")
NotKeyed = Annotated[T, _NOT_KEYED]
IfGiven = Annotated[T | None, _IF_GIVEN]
_dropped: dict[str, str] = {}  # by task run: what was wrong with the record that was deleted before it


@dataclass(frozen=True)
class Plan:
    """The pure part of a stage: turns arguments into a recipe."""

    name: str
    version: int
    inputs: frozenset[str]  # parameters that the key depends on
    if_given: frozenset[str] = frozenset()  # those of them that it depends on only if they are not None

    def recipe(self, arguments: Mapping[str, Any]) -> Recipe:
        """Return the recipe of a call with these arguments."""
        settings: dict[str, Any] = {}
        inputs: dict[str, Artifact] = {}
        for name in sorted(self.inputs):
            if name in self.if_given and arguments.get(name) is None:
                continue
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
    """Prefect cache policy: a record counts only for the attempt that the store has published.

    The record of a published artifact is filed under its attempt. If the store has no such artifact (never computed,
    deleted, damaged, or inputs changed), the key names this task run, which has no record yet. So Prefect runs the
    task, and the task publishes its attempt under that name.
    """

    plan: Plan | None = None

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """Return `stage/key/attempt`."""
        if self.plan is None:
            return None
        recipe, attempt = self.plan.recipe(inputs), str(task_ctx.task_run.id)
        found = inputs["place"].open().find(recipe)
        if not found:
            return f"{recipe.stage}/{recipe.key}/{attempt}"
        inputs["place"].tidy(recipe, attempt)
        if fault := drop_if_damaged(found):
            _dropped[attempt] = fault
        return record_key(found)


def plan_of(task: Task[..., Artifact]) -> Plan:
    """Return the plan of a stage.

    Raises:
        TypeError: if the task is not a stage.
    """
    policy = task.cache_policy
    if not isinstance(policy, AskTheStore) or policy.plan is None:
        raise TypeError(f"task {task.name} is not a stage")
    return policy.plan


def recipe_of(task: Task[..., Artifact], arguments: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a stage's artifact for these arguments.

    Raises:
        TypeError: if the task is not a stage.
    """
    return plan_of(task).recipe(arguments)


def uses_gpu(task: Task[..., Artifact], arguments: Mapping[str, Any]) -> bool:
    """Return whether a stage with these arguments computes on the place's device."""
    asked: Callable[[Mapping[str, Any]], bool] = task.fn.uses_gpu  # type: ignore[attr-defined]
    return asked(arguments)


def stage(
    name: str, *, version: int, gpu: bool | Callable[[Mapping[str, Any]], bool] = False
) -> Callable[[Callable[..., None]], Task[..., Artifact]]:
    """Turn a function that writes one artifact to its argument `out` into a Prefect task.

    Args:
        name: the stage's name; part of every key.
        version: part of every key; raise it whenever the function gives other results for the same arguments.
        gpu: whether the function computes on the place's device, or a function that tells so from the arguments. If
            the device is a GPU, the stage then holds it exclusively (tasks/runtime/gpu.py).
    """

    def decorate(function: Callable[..., None]) -> Task[..., Artifact]:
        signature = inspect.signature(function)
        hints = get_type_hints(function, include_extras=True)
        marks = {parameter: getattr(hint, "__metadata__", ()) for parameter, hint in hints.items()}
        unkeyed = {"place", "out"} | {parameter for parameter, mark in marks.items() if _NOT_KEYED in mark}
        if_given = frozenset(parameter for parameter, mark in marks.items() if _IF_GIVEN in mark)
        computes = gpu if callable(gpu) else lambda _: gpu
        plan = Plan(name, version, frozenset(set(signature.parameters) - unkeyed), if_given)
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
            context = TaskRunContext.get()
            attempt = str(context.task_run.id) if context else uuid.uuid4().hex
            if lookup.artifact:
                fault = _dropped.pop(attempt, None)
                return Completed(data=lookup.artifact, message=fault) if fault else lookup.artifact  # type: ignore
            with place.alone(recipe, attempt) as own:
                lookup = store.lookup(recipe)
                if lookup.artifact:  # published while this process waited
                    return lookup.artifact
                use_threads(place.threads)
                made = {"why": lookup.why, "device": place.device, "threads": place.threads}
                device = place.device if computes(bound.arguments) else "cpu"
                with (
                    gpu_to_itself(device, patience=place.patience),
                    store.write(recipe, attempt, made) as out,
                ):
                    function(**{**bound.arguments, "place": own}, out=out)
                own.forget_training(recipe)
            return out.published

        run.__signature__ = wanted  # type: ignore[attr-defined]
        run.uses_gpu = computes  # type: ignore[attr-defined]
        return task(
            name=name,
            description=inspect.getdoc(function),
            cache_policy=AskTheStore(plan=plan),
            persist_result=True,
            result_serializer="json",
            cache_result_in_memory=False,
        )(run)

    return decorate
