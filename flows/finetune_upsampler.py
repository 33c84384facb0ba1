"""Fine-tune the upsampler: train the corrector's last part on human annotations (paper, Table 16).

    materialise -> propose -> select, with the weights as they are
    fine-tune      the decoder of the corrector, on every annotated frame
    out            all networks, in a folder for --weights

It shows what labels would add. It is the only training that opens annotations, and everything computed with its
corrector is marked accordingly.
"""

import time
from functools import partial
from pathlib import Path

from prefect import flow

from motion_adapt.flows.pretrain import write_checkpoints
from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.rounds.materials import add_features, add_flow, open_run, read_frames
from motion_adapt.flows.rounds.ready_made import require_flow, require_proposals
from motion_adapt.flows.rounds.scoring import annotated
from motion_adapt.flows.rounds.shots import take_frames
from motion_adapt.flows.rounds.stages import propose_clips, select_clips
from motion_adapt.flows.rounds.state import Round, Work
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.prechecks import require_settings
from motion_adapt.flows.run.presets import known_benchmark, load_settings
from motion_adapt.flows.run.runners import DEFAULT_RUNNER, resolved
from motion_adapt.flows.run.start_weights import find_weights, smoke_note
from motion_adapt.flows.run.weight_checks import provenance
from motion_adapt.tasks.finetune_upsampler import finetune
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.settings import Settings

WARNING = (
    "supervised: this command trains on human annotations; results of its corrector are not label-free, "
    "and scores on the same clips mean nothing"
)


@flow(name="finetune-upsampler", task_runner=DEFAULT_RUNNER)
def finetune_upsampler(
    source: str,
    folder: str,
    settings: Settings | None = None,
    preset: str = "compact",
    clips: list[str] | None = None,
    split: str | None = None,
    prune: int | None = None,
    dataset: str | None = None,
    weights: str | None = None,
    place: Place = Place(),
) -> Report:
    """Fine-tune the upsampler on the annotated clips of a source and write all networks to `folder`.

    Args:
        source: a data set with annotations.
        folder: folder for the checkpoint files.
        settings: all settings of the run; if None, those of the preset and the environment. `upsampler_finetuning`
            controls the training; `evaluation.protocol` whether annotations are read as one foreground or as objects.
        preset: the preset, whose shipped weights are used if `weights` is not given.
        clips: names of the clips to use; None uses all.
        split: a list of ImageSets whose clips to use, e.g. 2017/train.
        prune: for a smoke run, the number of clips, of 8 frames each.
        dataset: which benchmark the source is, or "none"; if None, it is recognised by its clips' names.
        weights: a folder with the start weights.
        place: store, device and threads.
    """
    began = time.monotonic()
    settings = settings or load_settings(preset, data_set=known_benchmark(source, dataset))
    if settings.evaluation.protocol == "boxes":
        raise RunError("evaluation.protocol=boxes: the upsampler is trained on masks, not on boxes")
    place = resolved(place)
    require_settings(settings, place.device)
    report = Report("finetune-upsampler", source)
    run = open_run(source, place, clips=clips, split=split, prune=prune, dataset=dataset)
    take_frames(run, settings)
    run.begin_record("finetune-upsampler", source)
    run.warn(WARNING)
    require_flow(run, settings, prune)
    require_proposals(run, settings, prune)
    materials = read_frames(run, source, settings, prune=prune)
    start = find_weights(run, settings, preset, Path(weights) if weights else None)
    add_flow(run, materials, settings)
    add_features(run, materials, settings, start)
    work, this = Work(run, settings, materials), Round(0, start)
    this.proposal = propose_clips(work, this)
    this.selection = select_clips(work, this)
    run.require_clips(source)
    labels = annotated(work)
    names = sorted(labels, key=lambda name: (materials.content[name], labels[name].content))
    if not names:
        raise RunError(f"{source}: no clip has annotations, which this command needs for training")
    corrector = run.once(
        finetune,
        "fine-tune the upsampler",
        frames=[materials.frames[name] for name in names],
        tokens=[materials.corrector_tokens[name] for name in names],
        proposals=[this.proposal[name] for name in names],
        selections=[this.selection[name] for name in names],
        weights=start.need("corrector"),
        content=[labels[name].content for name in names],
        labels=[labels[name] for name in names],
        protocol=settings.evaluation.protocol,
        settings=settings.upsampler_finetuning,
        window=settings.correction.window,
        seed=settings.seed,
    )
    made = start.with_(corrector=corrector)
    run.read(partial(write_checkpoints, place, made.files(settings), Path(folder)))

    counts = dict(zip(names, run.summary(corrector)["annotated_frames"], strict=True))
    report.clips = {name: {"annotated_frames": counts.get(name, 0)} for name in run.clips}
    report.output = folder
    report.provenance = {**provenance(settings), "corrector": WARNING}
    report.figures = smoke_note(run, made)
    report.take(run)
    run.end_record()
    report.seconds["total"] = time.monotonic() - began
    return report
