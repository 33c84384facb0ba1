"""Floating-point precision of the networks under autocast; weights stay in 32 bits."""

from collections.abc import Sequence

import torch

_HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = ("float32", *_HALVES)
TRAINING_PRECISIONS = ("float32", "bfloat16")  # small gradients vanish in float16 unless losses are scaled


def autocast_dtype(precision: str, known: Sequence[str] = PRECISIONS) -> torch.dtype | None:
    """Return the autocast dtype of a name in `known`, or None for "float32", which needs no autocast.

    Raises:
        ValueError: the name is not in `known`.
    """
    if precision not in known:
        raise ValueError(f"precision: wanted {' or '.join(known)}, got {precision!r}")
    return _HALVES.get(precision)
