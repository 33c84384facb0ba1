"""Continue the training of a checkpoint, as every adaptation does."""

from typing import Any

from torch import nn

from motion_adapt.models.networks.checkpoints import (
    Checkpoint,
    weights_of,
)
from motion_adapt.models.training.batches import Batches
from motion_adapt.models.training.course import Course, Schedule
from motion_adapt.models.training.loop import Loss, train

ADAPTATION_RATE = 2e-5


def constant_schedule(course: Course) -> Schedule:
    """Return a schedule with the course's learning rate throughout. Raises ValueError if the course has none."""
    if course.rate is None:
        raise ValueError("rate: wanted a learning rate, got None")
    return Schedule(course.rate)


def adaptation_schedule(course: Course) -> Schedule:
    """Return a schedule with a constant rate, as in the paper, or with one that falls if the course says so."""
    constant = constant_schedule(course)
    return Schedule.settling(course.steps, constant.rate) if course.cool_down else constant


def go_on(
    checkpoint: Checkpoint,
    module: nn.Module,
    batches: Batches,
    loss: Loss,
    course: Course,
    recipe: dict[str, Any],
) -> Checkpoint:
    """Continue training a checkpoint's module and return its new checkpoint; see `models.training.loop.train`.

    The learning rate is the course's, or by default the paper's (A.3); see `adaptation_schedule`. `recipe` holds
    further entries for the recipe, in addition to the course.
    """
    course = course.at_rate(ADAPTATION_RATE)
    recipe = {**course.told(), **recipe}
    train(module, batches, loss, course, schedule=adaptation_schedule(course), recipe=recipe)
    return adapted(checkpoint, module, recipe)


def adapted(checkpoint: Checkpoint, module: nn.Module, training: dict[str, Any]) -> Checkpoint:
    """Return the checkpoint of a network that was trained further from `checkpoint`."""
    return Checkpoint(checkpoint.model, {**checkpoint.settings, "training": training}, weights_of(module))
