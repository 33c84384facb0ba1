"""Stages as Prefect tasks: which record of an earlier task run counts is decided by the store."""

import functools
import inspect
from dataclasses import dataclass
from typing import Any

from prefect import Task, task
from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.states import Completed

from motion_adapt.storage.keys import Artifact
from motion_adapt.tasks.runtime.prefect_records import drop_if_damaged, record_key
from motion_adapt.tasks.runtime.stage import Stage

_dropped: dict[str, str] = {}  # by task run: what was wrong with the record that was deleted before it


@dataclass
class AskTheStore(CachePolicy):
    """Prefect cache policy: a record counts only for the attempt that the store has published.

    The record of a published artifact is filed under its attempt. If the store has no such artifact (never computed,
    deleted, damaged, or inputs changed), the key names this task run, which has no record yet. So Prefect runs the
    task, and the task publishes its attempt under that name.
    """

    stage: Stage | None = None

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """Return `stage/key/attempt`."""
        if self.stage is None:
            return None
        recipe, attempt = self.stage.recipe(inputs), str(task_ctx.task_run.id)
        found = inputs["place"].open().find(recipe)
        if not found:
            return f"{recipe.stage}/{recipe.key}/{attempt}"
        inputs["place"].tidy(recipe, attempt)
        if fault := drop_if_damaged(found):
            _dropped[attempt] = fault
        return record_key(found)


@functools.cache
def task_of(stage: Stage) -> Task[..., Artifact]:
    """Return a stage as a Prefect task. Its task run is the attempt at the artifact."""

    @functools.wraps(stage.body)
    def run(*args: Any, **kwargs: Any) -> Artifact:
        context = TaskRunContext.get()
        if context is None:
            raise RuntimeError(f"the task {stage.name} runs only in a flow; call `make` of the stage instead")
        attempt = str(context.task_run.id)
        made = stage.publish(stage.bound(*args, **kwargs), attempt=attempt)
        fault = _dropped.pop(attempt, None)
        return Completed(data=made, message=fault) if fault else made  # type: ignore[return-value]

    run.__signature__ = stage.signature  # type: ignore[attr-defined]
    return task(
        name=stage.name,
        description=inspect.getdoc(stage.body),
        cache_policy=AskTheStore(stage=stage),
        persist_result=True,
        result_serializer="json",
        cache_result_in_memory=False,
    )(run)
