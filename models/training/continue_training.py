"""Continue the training of a checkpoint at a constant rate, as every adaptation does."""

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
    """One rate throughout, which the course must name."""
    if course.rate is None:
        raise ValueError("rate: wanted a learning rate, got none")
    return Schedule(course.rate)


def go_on(
    checkpoint: Checkpoint,
    module: nn.Module,
    batches: Batches,
    loss: Loss,
    course: Course,
    recipe: dict[str, Any],
) -> Checkpoint:
    """Train the module of a checkpoint further, and return its new checkpoint; see `models.training.loop.train`.

    The rate is the same throughout: the course's, or the paper's (A.3). `recipe` is what there is to say beside the
    course.
    """
    course = course.at_rate(ADAPTATION_RATE)
    recipe = {**course.told(), **recipe}
    train(module, batches, loss, course, schedule=constant_schedule(course), recipe=recipe)
    return adapted(checkpoint, module, recipe)


def adapted(checkpoint: Checkpoint, module: nn.Module, training: dict[str, Any]) -> Checkpoint:
    """The checkpoint of a network that went on from another one."""
    return Checkpoint(checkpoint.model, {**checkpoint.settings, "training": training}, weights_of(module))
