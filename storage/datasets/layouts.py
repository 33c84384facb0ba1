"""Locate the frames and annotations of a benchmark's download, and recognise which benchmark a folder is.

    DAVIS2016               JPEGImages/480p/<clip>, Annotations/480p/<clip>
    DAVIS2017-motion        the same; the curated masks in Annotations_unsupervised/480p or Annotations/480p
    YouTubeVOS2018-motion   JPEGImages/<clip>, Annotations/<clip>; or train_all_frames/ next to train/
    SegTrackv2              JPEGImages/<clip>, GroundTruth/<clip>[/<object>]; or Annotations/<clip>
    FBMS-59                 Testset/<clip>, Testset/<clip>/GroundTruth (Trainingset alike); or JPEGImages, Annotations
    MoCA                    JPEGImages/<clip>, annotations.csv or Annotations/annotations.csv; or Annotations/<clip>

Only names of folders and files are examined. A benchmark is recognised by the names of its clips alone, so the
presence of annotations never changes a run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from motion_adapt.storage.datasets.catalogue import DataSet, data_sets
from motion_adapt.storage.names import printable

RESOLUTIONS = ("480p", "Full-Resolution", "1080p")
TRUTH_BESIDE = "GroundTruth"
FBMS_PARTS = ("Testset", "Trainingset")  # the evaluated part first


@dataclass(frozen=True)
class Layout:
    """The folders of a data set.

    Attributes:
        images: the folders whose sub-folders are clips.
        annotations: the folder or table of annotations, or None.
        chosen: warnings that name the folder that is used of several with the same clips.
    """

    images: tuple[Path, ...]
    annotations: Path | None
    chosen: tuple[str, ...] = ()


def detect(source: Path) -> DataSet | None:
    """Return the benchmark whose download `source` looks like, by its clips' names; None if it is no benchmark."""
    if not source.is_dir():
        return None
    known = data_sets()
    parts = [source] if source.name in FBMS_PARTS else [source / part for part in FBMS_PARTS]
    if _names(parts) & known["FBMS-59"].clips:
        return known["FBMS-59"]
    ytvos = known["YouTubeVOS2018-motion"]
    clips = _names(_ytvos_images(source))
    if clips & ytvos.clips and all(len(name) == 10 and _is_hex(name) for name in clips):
        return ytvos
    clips = _names([source / "JPEGImages" / "480p"])
    if clips:
        davis16, davis17 = known["DAVIS2016"], known["DAVIS2017-motion"]
        if clips <= davis16.clips:
            return davis16
        return davis17 if clips <= davis17.clips else None
    clips = _names([source / "JPEGImages"])
    for name in ("SegTrackv2", "FBMS-59", "MoCA"):
        if len(clips) > 1 and clips <= known[name].clips:
            return known[name]
    return None


def lay_out(source: Path, data_set: DataSet) -> Layout:
    """Locate the frames and annotations in `source`, a download of `data_set`.

    Raises:
        ValueError: if `source` has none of the folders in which the benchmark keeps its frames.
    """
    if data_set.name.startswith("DAVIS"):
        layout = davis_layout(source, unsupervised=data_set.multi_object)
    elif data_set.name == "YouTubeVOS2018-motion":
        layout = Layout(
            _ytvos_images(source)[:1], _first([source / "Annotations", source / "train" / "Annotations"])
        )
    elif data_set.name == "FBMS-59" and source.name in FBMS_PARTS:
        layout = Layout((source,), source.parent)
    elif data_set.name == "FBMS-59" and any((source / part).is_dir() for part in FBMS_PARTS):
        # Every clip has its annotations in its own folder, so the source itself is the folder of annotations.
        layout = Layout(tuple(source / part for part in FBMS_PARTS if (source / part).is_dir()), source)
    else:
        layout = Layout(_there([source / "JPEGImages"]), _first(_truths(source, data_set)))
    if not layout.images:
        raise ValueError(
            f"{printable(source)} has no {_wanted(data_set)}, where {data_set.name} keeps its frames"
        )
    return layout


def davis_layout(source: Path, *, unsupervised: bool = False) -> Layout:
    """Locate JPEGImages[/480p] and Annotations[/480p]; `unsupervised` prefers Annotations_unsupervised."""
    found = [name for name in RESOLUTIONS if (source / "JPEGImages" / name).is_dir()]
    sub = found[0] if found else ""
    kinds = ["Annotations", "Annotations_unsupervised"]
    annotations = _first([source / kind / sub for kind in (reversed(kinds) if unsupervised else kinds)])
    several = f"{printable(source)} has {' and '.join(found)}; {sub} is used"
    return Layout(_there([source / "JPEGImages" / sub]), annotations, (several,) if found[1:] else ())


def is_table(annotations: Path) -> bool:
    """Return whether annotations are boxes in a table rather than pictures."""
    return annotations.suffix.lower() == ".csv"


def truth_folder(annotations: Path, clip: str) -> Path:
    """Return the folder with a clip's annotations: below `annotations` or, in FBMS-59, next to the frames."""
    for part in FBMS_PARTS:
        if (annotations / part / clip).is_dir():
            return annotations / part / clip / TRUTH_BESIDE
    return annotations / clip


def _ytvos_images(source: Path) -> tuple[Path, ...]:
    """Return the folders of frames. Prefer all frames over every fifth: the method needs motion between frames."""
    return _there(
        [source / "train_all_frames" / "JPEGImages", source / "JPEGImages", source / "train" / "JPEGImages"]
    )


def _truths(source: Path, data_set: DataSet) -> list[Path]:
    masks = source / "Annotations"
    if data_set.name == "SegTrackv2":
        return [source / "GroundTruth", masks]
    if data_set.name == "MoCA":
        tables = [source / "annotations.csv", masks / "annotations.csv"]
        return [*(table for table in tables if table.is_file()), masks]
    return [masks]


def _wanted(data_set: DataSet) -> str:
    if data_set.name == "FBMS-59":
        return "Testset and no JPEGImages"
    return "JPEGImages"


def _first(paths: Sequence[Path]) -> Path | None:
    return next((path for path in paths if path.exists()), None)


def _there(paths: Sequence[Path]) -> tuple[Path, ...]:
    return tuple(path for path in paths if path.is_dir())


def _names(folders: Sequence[Path]) -> set[str]:
    try:
        return {
            path.name
            for folder in folders
            if folder.is_dir()
            for path in folder.iterdir()
            if path.is_dir() and not path.name.startswith(".")
        }
    except OSError:
        return set()  # unreadable; the code that reads the clips reports why


def _is_hex(name: str) -> bool:
    return all(sign in "0123456789abcdef" for sign in name)
