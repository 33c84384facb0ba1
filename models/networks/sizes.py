"""Constructor arguments of the networks in two sizes, one for each preset."""

from typing import Any

Size = dict[str, dict[str, Any]]

# Measured parameters: features 1.1M, OCLR 3.7M, selector 1.4M, corrector 2.4M. Trainings are short, so no dropout.
COMPACT: Size = {
    "features": {"channels": 64, "patch_size": 8, "width": 128},
    "oclr": {
        "features": 16,
        "width": 192,
        "num_heads": 6,
        "dropout": 0.0,
        "reduction": 2,
        "context": True,
    },
    "selector": {"features": 8, "width": 192, "feature_channels": 64, "dropout": 0.0},
    "corrector": {
        "features": 16,
        "width": 192,
        "feature_channels": 64,
        "dropout": 0.0,
        "prior": True,
    },
}

# The paper's sizes: OCLR 20.7M, selector 3.3M, corrector 16.2M parameters, on ViT-S tokens.
PAPER: Size = {
    "features": COMPACT["features"],
    "oclr": {"features": 32, "width": 512},
    "selector": {"features": 16, "width": 256, "feature_channels": 384},
    "corrector": {"features": 64, "width": 384, "feature_channels": 384},
}

SIZES: dict[str, Size] = {"compact": COMPACT, "paper": PAPER}

# Pre-training defaults, shared by the CLI flow and `python -m motion_adapt.models.pretrain`.
PRETRAINING: dict[str, Any] = {
    "size": "compact",
    "flow": "mixed",
    "pool": 0,
    "batch": None,
    "frames": None,
    "residual": False,
    "corrector": "attention",
    "background": 4,
    "window": None,
    "exemplars": 10,
    "exemplars_by": "propagation",
    "rate": None,
    "precision": "float32",
}

# The amount of data in one step of pre-training, for each size.
STEP_SIZES: dict[str, dict[str, dict[str, int]]] = {
    "compact": {
        "features": {"pairs": 4},
        "oclr": {"frames": 8, "batch": 2},
        "selector": {"frames": 6, "batch": 1},
        "corrector": {"frames": 8, "window": 4, "batch": 1},
    },
    "paper": {
        "features": {"pairs": 16},
        "oclr": {"frames": 30, "batch": 2},
        "selector": {"frames": 20, "batch": 2},
        "corrector": {"frames": 20, "window": 7, "batch": 2},
    },
}
