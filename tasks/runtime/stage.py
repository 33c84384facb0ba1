"""The `stage` decorator: turns a plain function into a stage, which publishes one artifact in the store.

    @stage("proposal", version=1)
    def propose(flow: Artifact, *, settings: ProposalSettings, place: Place, out: ArtifactWriter): ...

A stage takes all arguments except `out` and returns the Artifact. Arguments that are artifacts are its inputs. All
others, except `place` and those marked `NotKeyed`, are settings and part of the key. An argument marked `IfGiven` is
part of the key only if it is not None, so that a stage can get a new argument without new keys for calls that do not
use it. The body runs only if the store has no such artifact.

Nothing here needs Prefect. In a flow, a stage runs as a Prefect task (tasks/runtime/prefect_tasks.py).
"""

import inspect
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_type_hints

from motion_adapt.storage.keys import Artifact, Recipe
from motion_adapt.tasks.runtime.gpu import gpu_to_itself
from motion_adapt.tasks.runtime.place import Place, use_threads

_NOT_KEYED, _IF_GIVEN = "not part of the key", "part of the key if it is not None"
T = TypeVar("T")
NotKeyed = Annotated[T, _NOT_KEYED]
IfGiven = Annotated[T | None, _IF_GIVEN]


@dataclass(frozen=True, eq=False)
class Stage:
    """A step of the pipeline that publishes one artifact. Made by the decorator `stage`.

    Attributes:
        name: part of every key.
        version: part of every key.
        body: the function that writes the artifact to its argument `out`.
        signature: the parameters of the stage: those of the body without `out`.
        keyed: the parameters that the key depends on.
        if_given: those of them that it depends on only if they are not None.
        uses_gpu: returns for its arguments whether the body computes on the place's device.
    """

    name: str
    version: int
    body: Callable[..., None]
    signature: inspect.Signature
    keyed: frozenset[str]
    if_given: frozenset[str]
    uses_gpu: Callable[[Mapping[str, Any]], bool]

    def recipe(self, arguments: Mapping[str, Any]) -> Recipe:
        """Return the recipe of the artifact for these arguments."""
        settings: dict[str, Any] = {}
        inputs: dict[str, Artifact] = {}
        for name in sorted(self.keyed):
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

    def make(self, *args: Any, **kwargs: Any) -> Artifact:
        """Return the artifact for these arguments, without Prefect; compute it if the store does not have it."""
        return self.publish(self.bound(*args, **kwargs), attempt=uuid.uuid4().hex)

    def bound(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return arguments by name, with defaults filled in.

        Raises:
            TypeError: if one is missing or unknown.
        """
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def publish(self, arguments: Mapping[str, Any], *, attempt: str) -> Artifact:
        """Return the artifact for these arguments from the store; compute it under the name `attempt` if need be."""
        place: Place = arguments["place"]
        recipe, store = self.recipe(arguments), place.open()
        if found := store.find(recipe):
            return found
        with place.alone(recipe, attempt) as own:
            lookup = store.lookup(recipe)
            if lookup.artifact:  # published while this process waited
                return lookup.artifact
            use_threads(place.threads)
            made = {"why": lookup.why, "device": place.device, "threads": place.threads}
            device = place.device if self.uses_gpu(arguments) else "cpu"
            with (
                gpu_to_itself(device, patience=place.patience),
                store.write(recipe, attempt, made) as out,
            ):
                self.body(**{**arguments, "place": own}, out=out)
            own.forget_training(recipe)
        return out.published


def stage(
    name: str, *, version: int, gpu: bool | Callable[[Mapping[str, Any]], bool] = False
) -> Callable[[Callable[..., None]], Stage]:
    """Turn a function that writes one artifact to its argument `out` into a stage.

    Args:
        name: the stage's name; part of every key.
        version: part of every key; raise it whenever the function gives other results for the same arguments.
        gpu: whether the function computes on the place's device, or a function of the arguments that returns it. If
            the device is a GPU, the stage then holds it exclusively (tasks/runtime/gpu.py).
    """

    def decorate(function: Callable[..., None]) -> Stage:
        signature = inspect.signature(function)
        hints = get_type_hints(function, include_extras=True)
        marks = {parameter: getattr(hint, "__metadata__", ()) for parameter, hint in hints.items()}
        unkeyed = {"place", "out"} | {parameter for parameter, mark in marks.items() if _NOT_KEYED in mark}
        return Stage(
            name,
            version,
            body=function,
            signature=signature.replace(
                parameters=[p for p in signature.parameters.values() if p.name != "out"],
                return_annotation=Artifact,
            ),
            keyed=frozenset(set(signature.parameters) - unkeyed),
            if_given=frozenset(parameter for parameter, mark in marks.items() if _IF_GIVEN in mark),
            uses_gpu=gpu if callable(gpu) else lambda _: gpu,
        )

    return decorate
