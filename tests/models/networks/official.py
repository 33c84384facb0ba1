"""Write checkpoints as the authors released theirs."""

from torch import Tensor

from motion_adapt.models.networks.checkpoints import Checkpoint
from motion_adapt.models.networks.official_checkpoints import official_names


def to_official(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return a checkpoint's tensors under the authors' names: the inverse of `import_official`."""
    names = official_names(checkpoint.model, checkpoint.tensors)
    return {names[ours]: tensor for ours, tensor in checkpoint.tensors.items()}
