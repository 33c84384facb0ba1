"""Pre-train all networks on synthetic clips, on any machine: photos in, checkpoint files out.

    python -m motion_adapt.models.pretrain --out weights --steps 20000 --photos photos

This trains, in order, the compact feature network (unless a ViT or a file is named), OCLR, the selector on OCLR's
proposals, and the corrector on proposals and exemplars. Each is written to OUT/<model>.safetensors. If a run is killed,
the same command resumes it (its state is in OUT/.state).
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from motion_adapt.models.inputs.downloads import WeightsMissing
from motion_adapt.models.inputs.features import COMPACT, load_features
from motion_adapt.models.networks.checkpoints import (
    Checkpoint,
    build_network,
    read_checkpoint,
    save_checkpoint,
    tensors_digest,
)
from motion_adapt.models.networks.precision import TRAINING_PRECISIONS
from motion_adapt.models.networks.sizes import PRETRAINING, SIZES
from motion_adapt.models.pretraining.recipe import require_seed, start_files
from motion_adapt.models.pretraining.train_corrector import CHOICES, pretrain_corrector
from motion_adapt.models.pretraining.train_features import pretrain_features
from motion_adapt.models.pretraining.train_oclr import pretrain_oclr
from motion_adapt.models.pretraining.train_selector import pretrain_selector
from motion_adapt.models.pretraining.variants import CORRECTORS, SELECTORS, shapes
from motion_adapt.models.synthetic.synthetic_flow import FLOW_KINDS
from motion_adapt.models.training.course import Course, OnStep

STAGES = ("features", "oclr", "selector", "corrector")
LEAST = {  # as in the settings of `pretrain`
    "steps": 1,
    "background": 1,
    "window": 1,
    "exemplars": 1,
    "pool": 0,
    "batch": 1,
    "frames": 4,
    "seed": 0,
    "workers": 0,
}

Report = Callable[[str], None]


def pretrain(
    out: Path,
    *,
    steps: int,
    only: Sequence[str] = STAGES,
    size: str = PRETRAINING["size"],
    features: str = COMPACT,
    features_checkpoint: Path | None = None,
    selector: str = "error_map",
    corrector: str = PRETRAINING["corrector"],
    background: int = PRETRAINING["background"],
    window: int | None = PRETRAINING["window"],
    exemplars: int = PRETRAINING["exemplars"],
    exemplars_by: str = PRETRAINING["exemplars_by"],
    start: Path | None = None,
    photos: Path | None = None,
    silhouettes: Path | None = None,
    flow: str = PRETRAINING["flow"],
    pool: int = PRETRAINING["pool"],
    batch: int | None = PRETRAINING["batch"],
    frames: int | None = PRETRAINING["frames"],
    residual: bool = PRETRAINING["residual"],
    rate: float | None = PRETRAINING["rate"],
    precision: str = PRETRAINING["precision"],
    seed: int = 0,
    device: str = "cpu",
    workers: int = 0,
    report: Report = print,
) -> dict[str, Path]:
    """Run the stages named in `only` and return their files. Networks that they depend on are read from `out`.

    Args:
        out: folder for the checkpoints.
        steps: updates of each network.
        only: names of STAGES.
        size: a key of `models.networks.sizes.SIZES`.
        features: `compact`, or a ViT of timm by name.
        features_checkpoint: weights of the feature network. Those of the compact one are copied to `out`, and none
            are trained.
        selector, corrector, background, window, exemplars, batch, frames, residual: see
            `models.pretraining.variants.shapes`.
        exemplars_by: see `models.pretraining.train_corrector.pretrain_corrector`.
        start: folder with start weights, by network. A network without a file there is trained from scratch.
        photos: folder of pictures; None for procedural textures.
        silhouettes: folder of masks for half of the shapes.
        flow: a kind of `models.synthetic.synthetic_flow`.
        pool: number of distinct clips for selector and corrector; 0 for an endless supply.
        rate: maximum learning rate; None for the training's default.
        precision: see `models.training.loop.autocast`.
        seed: seed of all trainings.
        device: device of the trainings.
        workers: processes that prepare batches ahead of time.
        report: called with every line of progress.

    Raises:
        ValueError: an argument is out of range, nothing is left to train, or a network that a stage needs is missing.
        WeightsMissing: the feature network was not found.
        FloatingPointError: a training had no finite loss for many steps.
    """
    require_numbers(
        rate,
        steps=steps,
        background=background,
        window=window,
        exemplars=exemplars,
        pool=pool,
        batch=batch,
        frames=frames,
        seed=seed,
        workers=workers,
    )
    require_seed(seed)
    unknown = [stage for stage in only if stage not in STAGES]
    if unknown:
        raise ValueError(f"only: wanted some of {', '.join(STAGES)}, got {', '.join(unknown)}")
    given = features_checkpoint if features == COMPACT else None
    trained = features == COMPACT and given is None
    stages = [stage for stage in STAGES if stage in only and (stage != "features" or trained)]
    if not stages:
        raise ValueError(
            f"only: nothing to train; the features are those of {features_checkpoint or features}"
        )
    files = {stage: out / f"{stage}.safetensors" for stage in STAGES}
    shape = shapes(
        size,
        selector=selector,
        corrector=corrector,
        background=background,
        window=window,
        exemplars=exemplars,
        exemplars_by=exemplars_by,
        batch=batch,
        frames=frames,
        residual=residual,
    )
    begun = (
        {stage: read_checkpoint(file) for stage, file in start_files(start, out, stages).items()}
        if start
        else {}
    )
    out.mkdir(parents=True, exist_ok=True)
    if given:
        keep_features(given, files["features"])
    for stage in stages:
        course = Course(
            steps=steps,
            seed=seed,
            rate=rate,
            precision=precision,
            device=device,
            state=out / ".state" / f"{stage}.pt",
            on_step=progress(stage, steps, report),
            workers=workers,
        )
        options: dict[str, Any] = {"photos": photos, "silhouettes": silhouettes, "start": begun.get(stage)}
        options |= {"network": shape[stage]["network"], **shape[stage]["sees"]}
        if stage != "features":
            options |= {"flow": flow}
        if stage in ("selector", "corrector"):
            weights = files["features"] if features == COMPACT else features_checkpoint
            options["features"] = load_features(features, checkpoint=weights, device=device)
            options["pool"] = pool
        if stage == "corrector" and exemplars_by == "selector":
            options["selector"] = needed(stage, files, "selector")
        save_checkpoint(files[stage], run_stage(stage, course, files, options))
        report(f"{stage}: written to {files[stage]}")
    return {stage: files[stage] for stage in stages}


def require_numbers(rate: float | None, **numbers: int | None) -> None:
    """Check the numbers of a pre-training; None is a default.

    Raises:
        ValueError: a number is less than its `LEAST`, or the rate is not positive.
    """
    for name, number in numbers.items():
        if number is not None and number < LEAST[name]:
            raise ValueError(f"{name}: wanted at least {LEAST[name]}, got {number}")
    if rate is not None and not 0 < rate < math.inf:
        raise ValueError(f"rate: wanted a positive number, got {rate}")


def run_stage(stage: str, course: Course, files: dict[str, Path], options: dict[str, Any]) -> Checkpoint:
    """Train one network."""
    if stage == "features":
        return pretrain_features(course, **options)
    if stage == "oclr":
        return pretrain_oclr(course, **options)
    train_stage = pretrain_selector if stage == "selector" else pretrain_corrector
    return train_stage(needed(stage, files, "oclr"), course, **options)


def needed(stage: str, files: dict[str, Path], network: str) -> Checkpoint:
    """Read a trained network that a stage depends on. Raises ValueError if its file does not exist."""
    if not files[network].exists():
        raise ValueError(f"{stage}: it builds on a trained {network}, and {files[network]} does not exist")
    return read_checkpoint(files[network])


def keep_features(checkpoint: Path, file: Path) -> None:
    """Copy a trained compact feature network to `file`, next to the networks that will read its tokens.

    Raises:
        ValueError: the checkpoint is another model, or `file` holds another feature network.
    """
    given = read_checkpoint(checkpoint)
    build_network(given, expect="features")
    if not file.exists():
        save_checkpoint(file, given)
    elif tensors_digest(read_checkpoint(file).tensors) != tensors_digest(given.tensors):
        raise ValueError(
            f"features: {file} is not {checkpoint}, and networks next to it may read its tokens; name another folder "
            "for the results"
        )


def progress(stage: str, steps: int, report: Report) -> OnStep:
    """Return a callback that reports about twenty times during a run, and at its end."""
    every = max(1, steps // 20)
    times = [time.monotonic()]

    def on_step(step: int, terms: dict[str, float]) -> None:
        times.append(time.monotonic())
        if (step + 1) % every == 0 or step + 1 == steps:
            seconds = (times[-1] - times[0]) / (len(times) - 1)
            times[:-1] = []
            shown = "  ".join(f"{name} {value:.4g}" for name, value in terms.items())
            report(f"{stage} {step + 1}/{steps}  {shown}  {seconds:.2f} s/step")

    return on_step


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m motion_adapt.models.pretrain", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoints")
    parser.add_argument("--steps", type=int, required=True, help="updates of each network")
    parser.add_argument("--photos", type=Path, help="folder of pictures; without it, textures are procedural")
    parser.add_argument("--silhouettes", type=Path, help="folder of masks for half of the shapes")
    parser.add_argument("--start", type=Path, help="folder with start weights, by network")
    parser.add_argument("--only", default=",".join(STAGES), help="comma-separated: " + ", ".join(STAGES))
    parser.add_argument("--size", choices=sorted(SIZES))
    parser.add_argument("--features", default=COMPACT, help="compact, or a ViT of timm by name")
    parser.add_argument("--features-checkpoint", type=Path, help="weights of the feature network")
    parser.add_argument(
        "--selector", choices=SELECTORS, default="error_map", help="what it predicts (Table 3)"
    )
    parser.add_argument("--corrector", choices=CORRECTORS, help="what it decodes (Table 5)")
    parser.add_argument("--background", type=int, help="background queries (Table 8)")
    parser.add_argument("--window", type=int, help="target frames of a corrector's step (Table 6)")
    parser.add_argument("--exemplars", type=int, help="maximum per object in a step (Table 7)")
    parser.add_argument("--exemplars-by", choices=CHOICES, help="how the corrector's exemplars are chosen")
    parser.add_argument("--flow", choices=FLOW_KINDS, help="flow that the networks see")
    parser.add_argument(
        "--pool", type=int, help="distinct clips for selector and corrector, kept in memory; 0: endless"
    )
    parser.add_argument("--batch", type=int, help="clips in a step (not for the feature network)")
    parser.add_argument("--frames", type=int, help="maximum length of OCLR's clips")
    parser.add_argument(
        "--residual", action="store_true", help="show OCLR the flow without the camera's motion too"
    )
    parser.add_argument("--rate", type=float, help="maximum learning rate")
    parser.add_argument(
        "--precision",
        choices=TRAINING_PRECISIONS,
        help="precision of the forward passes",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare clips ahead of time")
    parser.set_defaults(**PRETRAINING)
    given = vars(parser.parse_args(arguments))
    try:
        pretrain(given.pop("out"), only=given.pop("only").split(","), **given)
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except (WeightsMissing, FloatingPointError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
