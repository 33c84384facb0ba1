"""In how many bits networks work on a device that has units for it (autocast); weights stay in 32."""

from collections.abc import Sequence

import torch

_HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = ("float32", *_HALVES)
TRAINING_PRECISIONS = ("float32", "bfloat16")  # small gradients vanish in float16 unless losses are scaled


def autocast_dtype(precision: str, known: Sequence[str] = PRECISIONS) -> torch.dtype | None:
    """The type that one of the `known` names; None for "float32", which is no autocast. ValueError for others."""
    if precision not in known:
        raise ValueError(f"precision: wanted {' or '.join(known)}, got {precision!r}")
    return _HALVES.get(precision)
