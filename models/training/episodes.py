"""Episodes of the corrector: one window of frames, with the exemplars from which it is corrected."""

from collections.abc import Mapping

from torch import Tensor

from motion_adapt.models.inputs.imaging import normalise_rgb
from motion_adapt.models.networks.checkpoints import Corrector
from motion_adapt.models.networks.corrector import Correction
from motion_adapt.models.networks.sizes import PRETRAINING
from motion_adapt.models.training.batches import Batch

EXEMPLARS: int = PRETRAINING["exemplars"]


def correct_episode(module: Corrector, episode: Batch, *, use_masks: bool) -> Correction:
    """Run the corrector on an episode.

    Args:
        module: the corrector.
        episode: tensors of one clip, without the batch axis. Of the window: rgb u8 (T, H, W, 3), tokens (T, h, w, C),
            masks (T, K, H, W), frames (T,). Of the exemplars: table int (K, E), exemplar_tokens (E, K, h, w, C),
            exemplar_masks (E, K, H, W), exemplar_scores (E, K).
        use_masks: False hides the window's masks from the UNet.
    """
    of = {name: value[None] for name, value in episode.items() if isinstance(value, Tensor)}
    tokens, masks, scores = (of[f"exemplar_{name}"].float() for name in ("tokens", "masks", "scores"))
    memory = module.remember(tokens, masks, scores, of["table"])
    rgb = normalise_rgb(episode["rgb"])[None]  # (1, T, 3, H, W)
    window = rgb, of["tokens"].float(), of["masks"].float(), of["frames"]
    answer: Correction = module(*window, memory, use_masks=use_masks)
    return answer


def weights_for(module: Corrector, weights: Mapping[str, float]) -> dict[str, float]:
    """Select the loss terms that apply to a corrector: without object queries, it does not reconstruct tokens."""
    return {name: value for name, value in weights.items() if module.reconstructs or name != "reconstruction"}
