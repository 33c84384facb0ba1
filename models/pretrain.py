"""Pre-train all networks on synthetic clips, on any machine: photos in, checkpoint files out.

    python -m motion_adapt.models.pretrain --out weights --steps 20000 --photos photos

trains, in this order, the compact feature network (unless a ViT is named), OCLR, the selector on OCLR's
proposals and the corrector on proposals and exemplars; each goes to OUT/<model>.safetensors. A run that was
killed goes on where it was when it is started again with the same arguments (its state is in OUT/.state).
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from motion_adapt.models.inputs.features import COMPACT, TokenExtractor, load_features
from motion_adapt.models.networks.checkpoints import Checkpoint, read_checkpoint, save_checkpoint
from motion_adapt.models.networks.precision import TRAINING_PRECISIONS
from motion_adapt.models.networks.sizes import PRETRAINING, SIZES
from motion_adapt.models.pretraining.recipe import start_files
from motion_adapt.models.pretraining.train_corrector import CHOICES, pretrain_corrector
from motion_adapt.models.pretraining.train_features import pretrain_features
from motion_adapt.models.pretraining.train_oclr import pretrain_oclr
from motion_adapt.models.pretraining.train_selector import pretrain_selector
from motion_adapt.models.pretraining.variants import CORRECTORS, SELECTORS, shapes
from motion_adapt.models.synthetic.synthetic_flow import FLOW_KINDS
from motion_adapt.models.training.course import Course, OnStep

STAGES = ("features", "oclr", "selector", "corrector")

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
    rate: float | None = PRETRAINING["rate"],
    precision: str = PRETRAINING["precision"],
    seed: int = 0,
    device: str = "cpu",
    workers: int = 0,
    report: Report = print,
) -> dict[str, Path]:
    """Run the stages named in `only` and return their files; what they build on is read from `out`.

    selector, corrector, background, window, exemplars: the paper's variants of the heads; batch, frames: what a step
    sees instead of what the size says (models/pretraining/variants.py).
    exemplars_by: see `models.pretraining.train_corrector.pretrain_corrector`.
    start: folder with weights to go on from, by network; a network without a file there is trained from scratch.
    """
    unknown = [stage for stage in only if stage not in STAGES]
    if unknown:
        raise ValueError(f"only: wanted some of {', '.join(STAGES)}, got {', '.join(unknown)}")
    stages = [s for s in STAGES if s in only and not (s == "features" and features != COMPACT)]
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
    )
    begun = (
        {stage: read_checkpoint(file) for stage, file in start_files(start, out, stages).items()}
        if start
        else {}
    )
    out.mkdir(parents=True, exist_ok=True)
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
            options["features"] = extractor(features, features_checkpoint, files["features"], device)
            options["pool"] = pool
        if stage == "corrector" and exemplars_by == "selector":
            options["selector"] = needed(stage, files, "selector")
        save_checkpoint(files[stage], run_stage(stage, course, files, options))
        report(f"{stage}: written to {files[stage]}")
    return {stage: files[stage] for stage in stages}


def run_stage(stage: str, course: Course, files: dict[str, Path], options: dict[str, Any]) -> Checkpoint:
    """Train one network."""
    if stage == "features":
        return pretrain_features(course, **options)
    if stage == "oclr":
        return pretrain_oclr(course, **options)
    train_stage = pretrain_selector if stage == "selector" else pretrain_corrector
    return train_stage(needed(stage, files, "oclr"), course, **options)


def needed(stage: str, files: dict[str, Path], network: str) -> Checkpoint:
    """A trained network that a stage builds on."""
    if not files[network].exists():
        raise ValueError(f"{stage}: it builds on a trained {network}, and {files[network]} does not exist")
    return read_checkpoint(files[network])


def extractor(name: str, checkpoint: Path | None, trained: Path, device: str) -> TokenExtractor:
    """The feature network: a ViT of timm, or the compact one, by default the one trained here."""
    if name == COMPACT and checkpoint is None:
        checkpoint = trained
    return load_features(name, checkpoint=checkpoint, device=device)


def progress(stage: str, steps: int, report: Report) -> OnStep:
    """A callback that reports about twenty times in a run, and at its end."""
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
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m motion_adapt.models.pretrain", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoints")
    parser.add_argument("--steps", type=int, required=True, help="updates of each network")
    parser.add_argument("--photos", type=Path, help="folder of pictures; procedural textures without it")
    parser.add_argument("--silhouettes", type=Path, help="folder of masks for half of the shapes")
    parser.add_argument("--start", type=Path, help="folder with weights to go on from, by network")
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
    parser.add_argument("--exemplars", type=int, help="at most so many per object in a step (Table 7)")
    parser.add_argument(
        "--exemplars-by", choices=CHOICES, help="what the corrector's exemplars are chosen by"
    )
    parser.add_argument("--flow", choices=FLOW_KINDS, help="flow that the networks see")
    parser.add_argument(
        "--pool", type=int, help="distinct clips of the heads, whose features are kept; 0: endless"
    )
    parser.add_argument("--batch", type=int, help="clips of a step (not of the feature network's)")
    parser.add_argument("--frames", type=int, help="of OCLR's clips, at most")
    parser.add_argument("--rate", type=float, help="learning rate at its highest")
    parser.add_argument(
        "--precision",
        choices=TRAINING_PRECISIONS,
        help="of the forward passes",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw clips ahead")
    parser.set_defaults(**PRETRAINING)
    given = vars(parser.parse_args(arguments))
    try:
        pretrain(given.pop("out"), only=given.pop("only").split(","), **given)
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
