"""Pre-training of OCLR on flow of synthetic clips."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.checkpoints import Checkpoint
from models.losses import oclr_losses
from models.oclr import OCLR
from models.oclr_batches import COARSER, CoarseToFine, EstimatedPool, OclrBatches
from models.recipe import RARE, finished, fresh_network, photo_identity, schedule_for
from models.sizes import COMPACT
from models.synthetic import SyntheticClips
from models.training import Batch, OnStep, train

POOL = 600  # clips with flow of an estimator
COARSE_SHARE = 0.8  # of the steps


def amodal_loss(module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss against synthetic ground truth."""
    logits, order = module(batch["flow"])
    total, terms, _ = oclr_losses(logits, order, batch["amodal"])
    return total, terms


def pretrain_oclr(
    *,
    steps: int,
    seed: int = 0,
    device: str = "cpu",
    photos: Path | None = None,
    network: dict[str, Any] | None = None,
    frames: int = 4,
    batch: int = 2,
    coarse_share: float = COARSE_SHARE,
    flow: str = "mixed",
    rate: float | None = None,
    state: Path | None = None,
    checkpoint_every: int = 100,
    on_step: OnStep | None = None,
    workers: int = 0,
) -> Checkpoint:
    """Train OCLR on synthetic clips of up to `frames` frames; `flow` is a kind of `models.synthetic_flow`.

    The first `coarse_share` of the steps are at half the sides, with twice the clips in a batch.
    """
    network = dict(COMPACT["oclr"] if network is None else network)
    recipe = {"on": "synthetic clips", "steps": steps, "seed": seed, "frames": frames, "batch": batch}
    recipe |= {"coarse_share": coarse_share, "flow": flow, "rate": rate, "photos": photo_identity(photos)}
    clips = SyntheticClips(seed=seed, photos=photos, frames=frames)
    pool = EstimatedPool(clips, POOL)
    fine = OclrBatches(clips, batch, flow, pool)
    coarse = OclrBatches(clips, 2 * batch, flow, pool, coarser=COARSER)
    module = fresh_network(OCLR, network, seed, first_guess=RARE)
    train(
        module,
        CoarseToFine(coarse, fine, coarse_steps=round(steps * coarse_share)),
        amodal_loss,
        steps=steps,
        schedule=schedule_for(steps, rate),
        seed=seed,
        device=device,
        checkpoint=state,
        checkpoint_every=checkpoint_every,
        recipe=recipe | {"network": network},
        on_step=on_step,
        workers=workers,
    )
    return finished("oclr", module, network=network, training=recipe)
