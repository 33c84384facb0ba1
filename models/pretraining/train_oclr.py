"""Pre-train OCLR on the flow of synthetic clips."""

from pathlib import Path
from typing import Any

from torch import Tensor

from motion_adapt.models.inputs.imaging import HEIGHT, WIDTH
from motion_adapt.models.networks.checkpoints import Checkpoint
from motion_adapt.models.networks.sizes import COMPACT
from motion_adapt.models.pretraining.oclr_batches import (
    EstimatedPool,
    OclrBatches,
    estimated_share,
    pool_size,
)
from motion_adapt.models.pretraining.recipe import (
    RARE,
    first_network,
    seen_and_unseen,
    synthetic_recipe,
    trained,
)
from motion_adapt.models.training.batches import Batch
from motion_adapt.models.training.course import Course
from motion_adapt.models.training.loop import autocast
from motion_adapt.models.training.losses import oclr_losses

HELD_OUT = 2  # clips in a validation batch, independent of the training's batch size
HELD_OUT_POOL = 800  # pool of validation clips with estimated flow; only a few of them are drawn


class AmodalLoss:
    """OCLR's loss against synthetic ground truth. `precision`: see `models.training.loop.autocast`."""

    def __init__(self, precision: str = "float32") -> None:
        self.precision = precision

    def __call__(self, module: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch of `OclrBatches`."""
        with autocast(batch["flow"].device, self.precision):
            logits, order = module.of_reduced(batch["flow"])
        total, terms, _ = oclr_losses(logits.float(), order.float(), batch["amodal"])
        return total, terms


def pretrain_oclr(
    course: Course,
    *,
    photos: Path | None = None,
    silhouettes: Path | None = None,
    network: dict[str, Any] | None = None,
    start: Checkpoint | None = None,
    frames: int = 4,
    batch: int = 2,
    flow: str = "mixed",
) -> Checkpoint:
    """Train OCLR on synthetic clips. Clips with estimated flow stay in memory, see `pool_size`.

    Args:
        course: hyperparameters.
        photos: folder of pictures; None for procedural textures.
        silhouettes: folder of masks for half of the shapes.
        network: constructor arguments of `OCLR`.
        start: start weights; the schedule begins anew. See `models.pretraining.recipe.first_network`.
        frames: maximum length of a clip.
        batch: clips in a step.
        flow: a kind of `models.synthetic.synthetic_flow`.
    """
    network = dict(COMPACT["oclr"] if network is None else network)
    recipe = synthetic_recipe(course, photos, silhouettes, start)
    recipe |= {"frames": frames, "batch": batch, "flow": flow}
    module: Any = first_network("oclr", network, course.seed, start=start, first_guess=RARE)
    size = HEIGHT // module.reduction, WIDTH // module.reduction
    supply = {"photos": photos, "silhouettes": silhouettes, "frames": frames, "size": size}
    clips, unseen = seen_and_unseen(course.seed, **supply)
    draws = round(course.steps * batch * estimated_share(flow))
    pool = EstimatedPool(clips, pool_size(draws, frames, *size), shared=course.workers > 0)
    few = EstimatedPool(unseen, HELD_OUT_POOL)
    return trained(
        "oclr",
        module,
        OclrBatches(clips, batch, flow, pool),
        AmodalLoss(course.precision),
        course,
        network=network,
        recipe=recipe,
        validation=OclrBatches(unseen, HELD_OUT, flow, few),
    )
