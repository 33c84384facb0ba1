"""The functions of the package: what the commands do, for scripts and notebooks.

They run the same flows as the command line, find its results in the store, and print nothing unless asked to. They may
be called within a running event loop, as every cell of a notebook is.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from motion_adapt.flows.cli.options import DEFAULT_STORE, DEFAULT_TRACKING
from motion_adapt.quiet import quietly
from motion_adapt.results import Adaptation, Evaluation, Segmentation
from motion_adapt.storage.formats.masks import EXPORTED

if TYPE_CHECKING:
    import pandas as pd
    from prefect import Flow

    from motion_adapt.flows.reports.run_report import Report
    from motion_adapt.tasks.settings import Settings

    AnySettings = Settings | Mapping[str, Any]

PathLike = str | Path


def segment(
    source: PathLike,
    *,
    output: PathLike | None = None,
    preset: str = "compact",
    settings: "AnySettings | None" = None,
    weights: PathLike | None = None,
    from_champion: bool = False,
    clips: Sequence[str] | None = None,
    split: str | None = None,
    dataset: str | None = None,
    prune: int | None = None,
    store: PathLike = DEFAULT_STORE,
    tracking_uri: str = DEFAULT_TRACKING,
    experiment: str = "",
    device: str = "auto",
    threads: int | None = None,
    workers: int = 1,
    progress: bool = False,
) -> Segmentation:
    """Segment the moving objects of a video or of a folder of videos.

    The weights stay as they are. A small network is trained for each clip unless `clip_network.enabled` is false.

    >>> import motion_adapt
    >>> result = motion_adapt.segment("clips", output="results")
    >>> result.masks["heron"].shape
    (8, 136, 240)
    >>> int(result.clips.loc["heron", "frames"])
    8

    Args:
        source: a video, a folder of frames, a folder of either, or a data set.
        output: the folder for masks and pictures; None: motion-adapt/results/<source>.
        preset: compact (two CPU cores) or paper (a GPU).
        settings: fields to change, such as {"gaps.inference": 3}, over the preset, the benchmark's own and the
            environment; or all of them, as `load_settings` returns them.
        weights: a folder with the start weights; None: those that ship with the preset.
        from_champion: start from the champion of the MLflow experiment.
        clips: names of the clips to take; None: all.
        split: a list of ImageSets to take the clips from, such as 2016/val.
        dataset: the benchmark that the source is, or "none"; None: recognised by its clips' names.
        prune: take that many clips of 8 frames, for a quick look.
        store: where stage results are kept: a folder or any fsspec URL.
        tracking_uri: the MLflow tracking URI that has the champion.
        experiment: the MLflow experiment; empty: the name of the source.
        device: cpu, cuda, cuda:1, ...; auto: a GPU if there is one.
        threads: threads of every computation; None: a worker's share of the cores.
        workers: clips processed at once.
        progress: show progress bars, and warnings as they come.

    Raises:
        RunError: if no clip could be segmented, or weights, settings and source do not go together.
        SettingsError: for a setting that does not exist or has a value that it cannot have.
        ValueError: for a device that this machine does not have.
    """
    with quietly(progress=progress):
        from motion_adapt.flows.segment import segment as flow

        report = _run(
            flow,
            workers,
            preset=preset,
            weights=_text(weights),
            from_champion=from_champion,
            output=_text(output),
            **_clips(source, clips, split, dataset, prune),
            **_settings(source, dataset, preset, settings),
            **_where(store, device, threads, workers, tracking_uri, experiment),
        )
    return Segmentation(report)


def adapt(
    source: PathLike,
    *,
    rounds: int = 1,
    output: PathLike | None = None,
    preset: str = "compact",
    settings: "AnySettings | None" = None,
    weights: PathLike | None = None,
    from_champion: bool = False,
    clips: Sequence[str] | None = None,
    split: str | None = None,
    dataset: str | None = None,
    prune: int | None = None,
    store: PathLike = DEFAULT_STORE,
    tracking_uri: str = DEFAULT_TRACKING,
    experiment: str = "",
    device: str = "auto",
    threads: int | None = None,
    workers: int = 1,
    progress: bool = False,
) -> Adaptation:
    """Segment a folder of videos, and adapt the models to it round by round.

    An interrupted run resumes if it is called again.

    >>> import motion_adapt
    >>> few = {"oclr_finetuning.steps": 2, "oclr_finetuning.frames": 4}
    >>> result = motion_adapt.adapt("clips", rounds=1, settings=few, output="results")
    >>> list(result.rounds.index), result.rounds["decision"][0]
    ([0, 1], 'keep')
    >>> result.masks["heron"].shape
    (8, 136, 240)

    Args:
        source: as in `segment`, and so are all arguments but `rounds`.
        rounds: rounds of adaptation after round 0, which only segments.
        tracking_uri: the MLflow tracking URI in which the rounds are recorded.

    Raises:
        RunError: if no clip could be used, or weights, settings and source do not go together.
        SettingsError: for a setting that does not exist or has a value that it cannot have.
        ValueError: for a device that this machine does not have.
    """
    with quietly(progress=progress):
        from motion_adapt.flows.adapt import adapt as flow

        report = _run(
            flow,
            workers,
            rounds=rounds,
            preset=preset,
            weights=_text(weights),
            from_champion=from_champion,
            output=_text(output),
            **_clips(source, clips, split, dataset, prune),
            **_settings(source, dataset, preset, settings),
            **_where(store, device, threads, workers, tracking_uri, experiment),
        )
    return Adaptation(report)


def evaluate(
    predictions: PathLike | Segmentation,
    annotations: PathLike,
    *,
    protocol: Literal["single", "objects", "boxes"] | None = None,
    objects: int = 3,
    clips: Sequence[str] | None = None,
    dataset: str | None = None,
    background: Literal["black", "border"] = "black",
    progress: bool = False,
) -> Evaluation:
    """Score masks against annotations by the data set's own rules.

    >>> import motion_adapt
    >>> scores = motion_adapt.evaluate("results/masks", "annotations")
    >>> scores.clips.columns[:3].to_list(), round(float(scores.mean["J"]), 1)
    (['frames', 'J', 'F'], 0.6)

    Args:
        predictions: a folder with one folder of indexed PNGs per clip, the results of a run,
            or what `segment` or `adapt` returned.
        annotations: the same layout, or the root of a data set.
        protocol: single (DAVIS 2016), objects (DAVIS 2017 unsupervised) or boxes (MoCA); None: the data set's own,
            else single.
        objects: number of objects in the masks; more if a clip's masks hold larger ids, up to 20.
        clips: names of the clips to score; None: all.
        dataset: the benchmark that the annotations are, or "none"; None: recognised by their clips' names.
        background: the background of masks in colours: black, or the most frequent colour on the clip's borders.
        progress: show progress bars, and warnings as they come.

    Raises:
        RunError: if predictions or annotations cannot be found.
        SettingsError: for a benchmark that is not known.
    """
    with quietly(progress=progress):
        from motion_adapt.flows.evaluate import evaluate as flow

        if isinstance(predictions, Segmentation):
            clips = list(predictions.clips.index) if clips is None else clips
            predictions = predictions.output / EXPORTED
        report = _run(
            flow,
            workers=1,
            predictions=str(predictions),
            annotations=str(annotations),
            protocol=protocol,
            objects=objects,
            clips=_names(clips),
            data_set=dataset,
            background=background,
        )
    return Evaluation(report)


def compare_rounds(experiment: str, *, tracking_uri: str = DEFAULT_TRACKING) -> "pd.DataFrame":
    """Return all rounds of an MLflow experiment, one row each, with each figure's difference to the round before.

    >>> import motion_adapt
    >>> rounds = motion_adapt.compare_rounds("clips")
    >>> list(rounds["round"]), rounds["gate"][0]
    ([0, 1], 'keep')

    Args:
        experiment: the MLflow experiment; `adapt` names it after its source.
        tracking_uri: the MLflow tracking URI.

    Raises:
        RunError: if there is no such experiment, or it has no rounds.
    """
    with quietly(progress=False):
        from motion_adapt.flows.reports.compare import compare_rounds as table
        from motion_adapt.flows.run.tracking import Tracking

        return table(Tracking(uri=tracking_uri, experiment=experiment))


def _run(flow: "Flow[..., Report]", workers: int, **parameters: Any) -> "Report":
    """Run a flow with its tasks in threads; an error that ends it names the clips that were set aside."""
    from motion_adapt.flows.run.prefect_server import begin_server
    from motion_adapt.flows.run.run import NothingLeft
    from motion_adapt.flows.run.runners import task_runner

    try:
        with begin_server():
            report: Report = flow.with_options(task_runner=task_runner("threads", workers))(**parameters)
    except NothingLeft as error:
        why = "".join(f"\n  {name}: {reason}" for name, reason in error.run.set_aside.items())
        raise NothingLeft(f"{error}{why}", error.run) from None
    return report


def _clips(
    source: PathLike,
    clips: Sequence[str] | None,
    split: str | None,
    dataset: str | None,
    prune: int | None,
) -> dict[str, Any]:
    """Return the parameters of a flow that say what it works on."""
    if prune is not None and prune < 1:
        raise ValueError(f"prune: wanted 1 clip or more, got {prune}")
    return {
        "source": str(source),
        "clips": _names(clips),
        "split": split,
        "dataset": dataset,
        "prune": prune,
    }


def _settings(
    source: PathLike, dataset: str | None, preset: str, settings: "AnySettings | None"
) -> dict[str, Any]:
    from motion_adapt.flows.run.presets import known_benchmark, load_settings

    if settings is None or isinstance(settings, Mapping):
        known = known_benchmark(source, dataset)
        settings = load_settings(preset, overrides=settings or {}, data_set=known)
    return {"settings": settings}


def _where(
    store: PathLike, device: str, threads: int | None, workers: int, tracking_uri: str, experiment: str
) -> dict[str, Any]:
    from motion_adapt.flows.run.tracking import Tracking
    from motion_adapt.tasks.runtime.place import place_for

    return {
        "place": place_for(str(store), device, threads, workers),
        "tracking": Tracking(uri=tracking_uri, experiment=experiment),
    }


def _names(clips: Sequence[str] | None) -> list[str] | None:
    if clips is None:
        return None
    return [clips] if isinstance(clips, str) else list(clips)


def _text(path: PathLike | None) -> str | None:
    return None if path is None else str(path)
