"""Refine: sharpen ready-made masks of any model at the frames' own size.

    masks -> CRF, if the settings enable it -> SAM, if they name a model -> masks and pictures

Nothing is trained, and no flow or features are computed.
"""

import time
from pathlib import Path
from typing import Any

from prefect import flow

from motion_adapt.flows.reports.run_report import Report
from motion_adapt.flows.rounds.final_masks import refine_clips, share_kept
from motion_adapt.flows.rounds.materials import Materials, open_run, read_frames
from motion_adapt.flows.rounds.ready_made import require_masks
from motion_adapt.flows.rounds.results import output_folder, results_folder, write_clips
from motion_adapt.flows.rounds.state import Work
from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.prechecks import find_refiner, require_crf_if_used
from motion_adapt.flows.run.presets import load_settings
from motion_adapt.flows.run.run import ByClip, Run, source_name
from motion_adapt.flows.run.runners import DEFAULT_RUNNER, resolved
from motion_adapt.flows.run.weight_checks import not_label_free
from motion_adapt.storage.formats.masks import masks_content, masks_folder
from motion_adapt.tasks.refining import draw_refined, refine_by_crf, take_masks
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.settings import FramesSettings, Settings

TAKEN = ("start", "end", "every", "fps")  # settings that take fewer frames of a clip


@flow(name="refine", task_runner=DEFAULT_RUNNER)
def refine(
    masks: str,
    source: str,
    settings: Settings | None = None,
    clips: list[str] | None = None,
    split: str | None = None,
    dataset: str | None = None,
    output: str | None = None,
    place: Place = Place(),
) -> Report:
    """Refine masks.

    Args:
        masks: a folder with one folder of masks per clip, `<clip>/<frame>.png`, or the results of a run.
        source: the clips: a video, a folder of frames, a folder of either, or a data set.
        settings: all settings; `crf`, `sam`, `mask_background` and `frames.keep` are used.
        clips: names of the clips to use; None uses all.
        split: a list of ImageSets whose clips to use.
        dataset: which benchmark the source is, or "none"; if None, it is recognised by its clips' names.
        output: folder for masks and pictures; default: motion-adapt/results/<source>-refined.
        place: store, device and threads.
    """
    began = time.monotonic()
    settings = settings or load_settings()
    require_something(settings)
    require_crf_if_used(settings)
    refiner = find_refiner(settings.sam)
    if not Path(masks).is_dir():
        raise RunError(f"there is no folder {masks} with masks")
    folder = masks_folder(Path(masks))
    place = resolved(place)
    report = Report("refine", source)
    results = output_folder(output or f"motion-adapt/results/{source_name(source)}-refined", source)
    if (results / "masks").resolve() == folder.resolve():
        raise RunError(f"{results} holds the masks to refine, which would be replaced: name another --output")
    run = open_run(source, place, clips=clips, split=split, dataset=dataset, results=results)
    run.begin_record("refine", source)
    require_masks(run, "take masks", "masks", folder)
    run.export_to(results)
    materials = read_frames(run, source, settings, prune=None)
    results = results_folder(run, materials, output, source, None)
    if why := not_label_free(settings):
        run.warn(why)
        report.provenance["annotations"] = why

    work = Work(run, settings, materials, refiner)
    given = refined = take_clips(work, folder)
    if settings.crf.enabled:
        refined = crf_clips(work, refined)
    if refiner:
        refined = refine_clips(work, refined, {}, "refine")
    export(run, materials, given, refined, results)
    run.require_clips(source)

    report.output = str(results)
    how = [*(["CRF"] if settings.crf.enabled else []), *([str(settings.sam.model)] if refiner else [])]
    report.provenance["final masks"] = f"{folder}, refined by {' and then '.join(how)}"
    report.clips = {name: figures(run, refined[name]) for name in run.clips}
    report.take(run)
    run.end_record()
    report.seconds["total"] = time.monotonic() - began
    return report


def require_something(settings: Settings) -> None:
    """Check that the settings refine masks.

    Raises:
        RunError: if they don't, or ask for what ready-made masks don't have or allow.
    """
    if not (settings.crf.enabled or settings.sam.model):
        raise RunError("nothing would refine the masks: name a model with --sam, or use --crf")
    if settings.sam.video:
        raise RunError(
            "sam.video=true needs exemplar frames, which ready-made masks don't have: leave it out"
        )
    if settings.sam.teach:
        raise RunError(
            "sam.teach=true is for runs that adapt a network, and refine trains none: leave it out"
        )
    changed = [name for name in TAKEN if getattr(settings.frames, name) != getattr(FramesSettings(), name)]
    if changed:
        names = ", ".join(f"frames.{name}" for name in changed)
        raise RunError(f"refine refines all masks of a clip: leave out {names}")


def take_clips(work: Work, folder: Path) -> ByClip:
    """Read the masks of every clip; one whose masks are missing or unusable is set aside."""

    def arguments(name: str) -> dict[str, Any]:
        names = work.materials.names[name]
        return {
            "frames": work.materials.frames[name],
            "content": masks_content(folder, name, names),
            "background": work.settings.mask_background,
            "folder": str(folder),
            "names": names,
        }

    return work.run.each(take_masks, "take masks", arguments, keep_results=True)


def crf_clips(work: Work, masks: ByClip) -> ByClip:
    """Refine the masks of every clip by the CRF."""
    return work.run.each(
        refine_by_crf,
        "CRF",
        lambda name: {
            "frames": work.materials.frames[name],
            "masks": masks[name],
            "settings": work.settings.crf,
            "clip": work.run.clips[name],
        },
        only=list(masks),
    )


def export(run: Run, materials: Materials, given: ByClip, refined: ByClip, folder: Path) -> None:
    """Write masks and pictures of every clip."""
    pictures = run.each(
        draw_refined,
        "pictures",
        lambda name: {
            "frames": materials.frames[name],
            "given": given[name],
            "final": refined[name],
            "clip": run.clips[name],
        },
        only=list(refined),
        forgive=True,
    )
    write_clips(run, materials, refined, pictures, folder)


def figures(run: Run, refined: Any) -> dict[str, Any]:
    """Return a clip's figures for the report."""
    summary = run.summary(refined)
    found = {"frames": summary["frames"], "masked_frames": summary["masked_frames"]}
    if "asked" in summary:
        found["sam_kept"] = share_kept(summary)
    return found
