"""Make trained weights small enough to ship with the package: the same checkpoints with tensors in 16 bits.

    python -m motion_adapt.models.ship WEIGHTS models/weights/compact

Networks are built from them in 32 bits, as from any other checkpoint (`models.networks.checkpoints.build_network`).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from motion_adapt.models.networks.checkpoints import (
    Checkpoint,
    checkpoint_bytes,
    in_half_precision,
    read_checkpoint,
)
from motion_adapt.models.networks.synced_file import synced_file

MOST_BYTES = 25_000_000  # maximum total size of a preset's weights


def require_finite(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint, after checking that no tensor left the range of its type.

    Raises:
        ValueError: a value is not finite. One beyond 65504 becomes infinite in f16.
    """
    for name, tensor in checkpoint.tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{checkpoint.model}: {name} does not fit into 16 bits")
    return checkpoint


def ship(weights: Path, to: Path) -> dict[str, int]:
    """Write the checkpoints of one folder to another in f16. Returns the size of each file in bytes.

    All are read and converted before the first is written.

    Raises:
        ValueError: there are no checkpoints, one is damaged, or together with those that are in `to` already they are
            larger than `MOST_BYTES`. Nothing is written.
        OSError: a file cannot be read or written.
    """
    files = sorted(weights.glob("*.safetensors"))
    if not files:
        raise ValueError(f"{weights}: there is no checkpoint")
    content = {
        file.name: checkpoint_bytes(require_finite(in_half_precision(read_checkpoint(file))))
        for file in files
    }
    sizes = {name: len(written) for name, written in content.items()}
    others = {file.name: file.stat().st_size for file in to.glob("*.safetensors")}
    total = sum((others | sizes).values())
    if total > MOST_BYTES:
        raise ValueError(f"{to}: would have {total} bytes in total, the limit is {MOST_BYTES}")
    to.mkdir(parents=True, exist_ok=True)
    for name, written in content.items():
        with synced_file(to / name) as file:
            file.write(written)
    return sizes


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m motion_adapt.models.ship", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("weights", type=Path, help="folder of checkpoints")
    parser.add_argument("to", type=Path, help="folder that ships")
    given = parser.parse_args(arguments)
    try:
        for name, size in ship(given.weights, given.to).items():
            print(f"{name}  {size / 1e6:.1f} MB")
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
