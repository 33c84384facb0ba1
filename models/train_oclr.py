"""Pre-training of OCLR on flow of synthetic clips."""

from pathlib import Path
from typing import Any

from torch import Tensor

from models.checkpoints import Checkpoint
from models.imaging import HEIGHT, WIDTH
from models.losses import oclr_losses
from models.oclr_batches import EstimatedPool, OclrBatches
from models.recipe import (
    RARE,
    finished,
    first_network,
    pictures_identity,
    schedule_for,
    seen_and_unseen,
    start_identity,
)
from models.sizes import COMPACT
from models.training import Batch, OnStep, autocast, train

POOL = 800  # clips with flow of an estimator


class AmodalLoss:
    """Loss against synthetic ground truth. precision: see `models.training.autocast`."""

    def __init__(self, precision: str = "float32") -> None:
        self.precision = precision

    def __call__(self, module: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch of `OclrBatches`."""
        with autocast(batch["flow"].device, self.precision):
            logits, order = module.of_reduced(batch["flow"])
        total, terms, _ = oclr_losses(logits.float(), order.float(), batch["amodal"])
        return total, terms


def pretrain_oclr(
    *,
    steps: int,
    seed: int = 0,
    device: str = "cpu",
    photos: Path | None = None,
    silhouettes: Path | None = None,
    network: dict[str, Any] | None = None,
    start: Checkpoint | None = None,
    frames: int = 4,
    batch: int = 2,
    flow: str = "mixed",
    rate: float | None = None,
    precision: str = "float32",
    state: Path | None = None,
    checkpoint_every: int = 100,
    on_step: OnStep | None = None,
    workers: int = 0,
) -> Checkpoint:
    """Train OCLR on synthetic clips of up to `frames` frames; `flow` is a kind of `models.synthetic_flow`.

    start: weights to go on from, with a schedule of its own; see `models.recipe.first_network`.
    """
    network = dict(COMPACT["oclr"] if network is None else network)
    recipe = {"on": "synthetic clips", "steps": steps, "seed": seed, "frames": frames, "batch": batch}
    recipe |= {"flow": flow, "rate": rate, "precision": precision, **pictures_identity(photos, silhouettes)}
    recipe |= start_identity(start)
    module: Any = first_network("oclr", network, seed, start=start, first_guess=RARE)
    size = HEIGHT // module.reduction, WIDTH // module.reduction
    clips, unseen = seen_and_unseen(seed, photos=photos, silhouettes=silhouettes, frames=frames, size=size)
    train(
        module,
        OclrBatches(clips, batch, flow, EstimatedPool(clips, POOL)),
        AmodalLoss(precision),
        steps=steps,
        schedule=schedule_for(steps, rate),
        seed=seed,
        device=device,
        checkpoint=state,
        checkpoint_every=checkpoint_every,
        recipe=recipe | {"network": network},
        on_step=on_step,
        workers=workers,
        validation=OclrBatches(unseen, batch, flow, EstimatedPool(unseen, POOL)),
    )
    return finished("oclr", module, network=network, training=recipe)
