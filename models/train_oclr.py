"""Pre-training of OCLR on flow of synthetic clips, and its score on clips that no training sees."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from models.checkpoints import Checkpoint
from models.losses import oclr_losses
from models.oclr import OCLR
from models.recipe import RARE, finished, fresh_network, photo_identity, schedule_for
from models.sizes import COMPACT
from models.synthetic import SyntheticClips
from models.synthetic_flow import clip_flow
from models.training import Batch, OnStep, train

GAPS = (1, 1, 1, 2, 3)  # drawn from, so that speeds vary
VALIDATION_SEED = 1_000_003  # of clips that no training sees


@dataclass(frozen=True)
class OclrBatches:
    """Synthetic flow f32 (B, T, 4, H, W) with amodal masks bool (B, T, K, H, W)."""

    clips: SyntheticClips
    batch: int
    flow: str

    def __call__(self, step: int, rng: np.random.Generator) -> Batch:
        """The clips of one step: all of one random length, since OCLR must serve groups of any length."""
        frames = int(rng.integers(max(2, self.clips.frames // 2), self.clips.frames + 1))
        gap = min(int(rng.choice(GAPS)), frames // 2)
        made = [self.clips.make(step * self.batch + i, frames=frames) for i in range(self.batch)]
        flow = [clip_flow(clip, kind=self.flow, gap=gap, rng=rng) for clip in made]
        return {"flow": np.stack(flow), "amodal": np.stack([clip.amodal for clip in made])}


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
    flow: str = "mixed",
    rate: float | None = None,
    state: Path | None = None,
    checkpoint_every: int = 100,
    on_step: OnStep | None = None,
    workers: int = 0,
) -> Checkpoint:
    """Train OCLR on synthetic clips of up to `frames` frames; `flow` is a kind of `models.synthetic_flow`."""
    network = dict(COMPACT["oclr"] if network is None else network)
    recipe = {"on": "synthetic clips", "steps": steps, "seed": seed, "frames": frames, "batch": batch}
    recipe |= {"flow": flow, "rate": rate, "photos": photo_identity(photos)}
    module = fresh_network(OCLR, network, seed, first_guess=RARE)
    train(
        module,
        OclrBatches(SyntheticClips(seed=seed, photos=photos, frames=frames), batch, flow),
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
