"""Materials of a run: frames, optical flow and features, computed once per clip."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motion_adapt.flows.run.errors import RunError
from motion_adapt.flows.run.run import ByClip, Run
from motion_adapt.flows.run.start_weights import StartWeights
from motion_adapt.models.inputs.features import CORRECTOR_GRID, SELECTOR_GRID
from motion_adapt.models.inputs.flow import effective_gap
from motion_adapt.storage.clips.find_clips import find_clips
from motion_adapt.storage.clips.videos import content_digest
from motion_adapt.storage.formats.flo import flow_content, has_flow
from motion_adapt.storage.keys import Artifact
from motion_adapt.storage.names import some
from motion_adapt.tasks.features import extract_features
from motion_adapt.tasks.flow import estimate_flow
from motion_adapt.tasks.frames import decode, keep_native
from motion_adapt.tasks.runtime.place import Place
from motion_adapt.tasks.settings import NETWORK_METHODS, BackboneSettings, FlowSettings, Settings

PRUNED_FRAMES = 8


@dataclass
class Materials:
    """Artifacts that are computed once per clip, by clip name."""

    content: dict[str, str] = field(default_factory=dict)
    frames: ByClip = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)  # names of the clip's frames
    flow: ByClip = field(default_factory=dict)  # at the gap of inference
    dis_flow: ByClip = field(default_factory=dict)  # the same by DIS, if the run adds it
    adaptation_flow: ByClip = field(default_factory=dict)  # at the gap that OCLR is fine-tuned on
    # Flow of the other estimator that OCLR is fine-tuned on, if any.
    second_flow: ByClip = field(default_factory=dict)
    selector_tokens: ByClip = field(default_factory=dict)
    corrector_tokens: ByClip = field(default_factory=dict)
    given: ByClip = field(default_factory=dict)  # masks by hand, of the clips that have any
    by_hand: dict[str, tuple[str, ...]] = field(default_factory=dict)  # names of the frames that they are for
    # names of all frames of the clips whose frames in between have masks too
    filled: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def masks_by_hand(self) -> int:
        """The number of masks by hand of all clips."""
        return sum(map(len, self.by_hand.values()))

    def exported(self, name: str) -> tuple[str, ...]:
        """Return the names of the frames of a clip that have a mask in the results."""
        return self.filled.get(name) or self.names[name]


def open_run(
    source: str,
    place: Place,
    *,
    clips: list[str] | None = None,
    split: str | None = None,
    prune: int | None = None,
    dataset: str | None = None,
    results: Path | None = None,
) -> Run:
    """Find the clips of `source` and open a run over them.

    Args:
        source: file or folder of clips.
        place: where tasks run and store their results.
        clips: names of the clips to use; None uses all.
        split: the data set's split to use.
        prune: for a smoke run, the number of clips to use.
        dataset: the benchmark's name, as in `find_clips`.
        results: the folder for masks and pictures. Nothing in it is touched before `Run.export_to`, unless no clip is
            usable.

    Raises:
        RunError: if there is no usable clip, or a requested clip does not exist.
    """
    try:
        found = find_clips(Path(source), only=clips or (), split=split, dataset=dataset)
    except (ValueError, OSError) as error:
        raise RunError(str(error)) from error
    run = Run.of(place, found, prune=prune)
    if results and not run.clips:
        run.export_to(results)
    run.require_clips(source)
    return run


def digest_clips(run: Run, *, prune: int | None) -> Materials:
    """Compute what identifies the content of every clip. Clips that cannot be read are set aside."""
    limit = PRUNED_FRAMES if prune else None
    materials = Materials()
    for name, clip in run.clips.copy().items():
        try:
            materials.content[name] = content_digest(clip, limit=limit)
        except (ValueError, OSError) as error:
            run.put_aside(name, "frames", error)
    return materials


def read_frames(
    run: Run, source: str, settings: Settings, *, prune: int | None, materials: Materials | None = None
) -> Materials:
    """Decode every clip, after `digest_clips` if that has not been done. Clips that cannot be read are set aside.

    If the settings say so, native frames are copied into the store.
    """
    materials = materials or digest_clips(run, prune=prune)
    decode_clips(run, materials, settings, limit=PRUNED_FRAMES if prune else None, only=list(run.clips))
    run.require_clips(source)
    return materials


def decode_clips(
    run: Run, materials: Materials, settings: Settings, *, limit: int | None, only: list[str]
) -> None:
    """Decode the clips named by `only`, at most `limit` frames of each."""
    chosen = settings.frames
    made = run.each(
        decode,
        "frames",
        lambda name: {"content": materials.content[name], "limit": limit, "clip": run.clips[name]},
        only=only,
        # the clip may be whole, and the setting leave too few of its frames
        keep_results=(chosen.start, chosen.end, chosen.every, chosen.fps) != (0, None, 1, None),
    )
    materials.frames |= made
    if settings.frames.keep == "native":
        run.each(
            keep_native,
            "native frames",
            lambda name: {"frames": materials.frames[name], "clip": run.clips[name]},
            only=list(made),
        )
    for name in made:
        if name in run.clips:
            materials.names[name] = run.clips[name].frame_names(run.summary(made[name])["frames"])


def add_flow(run: Run, materials: Materials, settings: Settings) -> None:
    """Compute the flow of every clip at the gap of inference, and that of DIS if the run adds it."""
    materials.flow = _flow(run, materials, settings.flow, settings.gaps.inference)
    if settings.adds_dis:
        materials.dis_flow = _flow(run, materials, FlowSettings(), settings.gaps.inference)


def add_adaptation_flow(run: Run, materials: Materials, settings: Settings) -> None:
    """Compute the flow of every clip at the gap of adaptation, if OCLR is fine-tuned.

    A clip without it stays in the run, with a warning, and OCLR is not fine-tuned on it. With `oclr_finetuning.also`,
    compute the flow of that estimator too, at the gap of inference.
    """
    if not settings.adapts_oclr:
        return
    gap, folder, lacking = settings.gaps.adaptation, settings.flow.folder, list[str]()
    if folder:
        lacking = [
            name
            for name in run.clips
            if not has_flow(Path(folder), effective_gap(len(materials.names[name]), gap), name)
        ]
    if lacking:
        run.warn(
            f"no flow at ±{gap} in {folder} for {len(lacking)} of {len(run.clips)} clips ({some(lacking)}): they don't "
            f"fine-tune OCLR; add Flows_gap{gap}, or set gaps.adaptation to a gap that is there"
        )
    wanted = [name for name in run.clips if name not in lacking]
    materials.adaptation_flow = _flow(run, materials, settings.flow, gap, only=wanted, forgive=True)
    if second := settings.oclr_finetuning.second_flow():
        materials.second_flow = _flow(run, materials, second, settings.gaps.inference, forgive=True)


def _flow(
    run: Run,
    materials: Materials,
    settings: FlowSettings,
    gap: int,
    *,
    only: list[str] | None = None,
    forgive: bool = False,
) -> ByClip:
    folder = settings.folder
    keyed = settings.model_copy(update={"folder": None})

    def arguments(name: str) -> dict[str, Any]:
        names = materials.names[name]
        return {
            "frames": materials.frames[name],
            "gap": gap,
            "settings": keyed,
            "clip": run.clips[name],
            "flo": flow_content(Path(folder), effective_gap(len(names), gap), name, names)
            if folder
            else None,
            "folder": folder,
            "names": names,
        }

    return run.each(
        estimate_flow, f"flow ±{gap}", arguments, only=only, forgive=forgive, keep_results=folder is not None
    )


def add_features(run: Run, materials: Materials, settings: Settings, backbones: StartWeights) -> None:
    """Extract features for the corrector and, if the settings use it, for the selector."""

    def extract(
        head: str, grid: tuple[int, int], backbone: BackboneSettings, weights: Artifact | None
    ) -> ByClip:
        keyed = backbone.model_copy(update={"checkpoint": None})
        given = {"weights": weights, "settings": keyed, "grid": grid}
        return run.each(
            extract_features,
            f"{head} features",
            lambda name: {"frames": materials.frames[name], "clip": run.clips[name], **given},
        )

    chosen = settings.features
    if settings.selection.method in NETWORK_METHODS:
        materials.selector_tokens = extract(
            "selector", SELECTOR_GRID, chosen.selector, backbones.selector_features
        )
    materials.corrector_tokens = extract(
        "corrector", CORRECTOR_GRID, chosen.corrector, backbones.corrector_features
    )
