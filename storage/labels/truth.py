"""One annotated frame as a label map, for each way in which benchmarks store it.

    MaskFile     one picture of labels: indexed, in the data set's colours, or white on black
    LayerFiles   one white-on-black picture per object (SegTrackv2)
    RegionFile   regions in colours or greys without a fixed meaning (FBMS-59)
    Box          a rectangle from a table (MoCA)

`found` returns them by frame name without opening a picture.
"""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from motion_adapt.storage.datasets.catalogue import Colour, DataSet
from motion_adapt.storage.datasets.layouts import TRUTH_BESIDE, is_table, truth_folder
from motion_adapt.storage.formats.images import FORMATS, PictureError, read_rgb
from motion_adapt.storage.formats.label_maps import ClipMasks
from motion_adapt.storage.formats.label_rules import Background, rgb_text
from motion_adapt.storage.formats.stored_mask import COLOUR, packed, stored_mask
from motion_adapt.storage.keys import file_digest
from motion_adapt.storage.names import frame_number, natural_key, safe_name

# FBMS-59: the brightness, as a share of white, above which a pixel counts as object. The rule is that of the
# preprocessing commonly used in the literature.
_REGION_THRESHOLD = {"marple7": 0.05, "marple2": 0.4}
_REGION_DEFAULT = 0.1
_REGION_WHITE = 0.99  # in colour pictures, anything brighter is background


class ForeignLabel(PictureError):
    """A picture has a colour that none of the data set's labels has."""


class OtherSize(PictureError):
    """A picture has another size than its frame."""


class Truth(Protocol):
    """An annotated frame, not yet opened."""

    @property
    def path(self) -> Path:
        """The file to name in messages."""

    def content(self) -> Any:
        """Return what a digest must cover: the bytes, and how they are read if not by the common rule."""

    def decode(self, size: tuple[int, int]) -> np.ndarray:
        """Return the labels; `size` is the frame's (H, W).

        Raises:
            PictureError: if the annotation cannot be used.
        """

    @property
    def notes(self) -> tuple[tuple[Path, str], ...]:
        """What is read otherwise than it is stored, with the file; the same for all frames of a clip."""


@dataclass(frozen=True)
class MaskFile:
    """A picture of labels, one of `masks`.

    Attributes:
        path: the picture.
        masks: all pictures of the clip.
        colours: those of a data set that tells objects apart by colour, else empty.
        others: pictures of the same frame in other formats; not read.
    """

    path: Path
    masks: ClipMasks
    colours: tuple[Colour, ...] = ()
    others: tuple[Path, ...] = ()

    def content(self) -> Any:
        """Return the file's digest, with the way that it is read if this is not the common one."""
        if self.colours:
            return [file_digest(self.path), "colours"]
        border = self.masks.background == "border"
        return [file_digest(self.path), "border"] if border else file_digest(self.path)

    @property
    def notes(self) -> tuple[tuple[Path, str], ...]:
        """The notes on all masks of the clip; none if the data set's colours decide."""
        return () if self.colours else self.masks.notes

    def decode(self, size: tuple[int, int]) -> np.ndarray:
        """Decode as `ClipMasks` does, except that RGB pictures are read by the data set's colours."""
        stored = stored_mask(self.path)
        if not self.colours or stored.kind != COLOUR:
            return self.masks.labels(self.path, stored)
        labels = np.full(stored.values.shape, len(self.colours), np.uint8)
        for index, colour in enumerate(packed(np.array(self.colours)).tolist()):
            labels[stored.values == colour] = index
        unknown = stored.values[labels == len(self.colours)]
        if len(unknown):
            raise ForeignLabel(
                f"has the colour {rgb_text(unknown[0].item())}, which none of its data set's labels has"
            )
        return labels


@dataclass(frozen=True)
class LayerFiles:
    """One picture per object, by its label in ascending order; where objects overlap, the later one is in front."""

    paths: Mapping[int, Path]

    @property
    def path(self) -> Path:
        """The picture of the first object that has one."""
        return next(iter(self.paths.values()))

    @property
    def notes(self) -> tuple[tuple[Path, str], ...]:
        """No notes: every picture is read as it is stored."""
        return ()

    def content(self) -> Any:
        """Return the digests of all pictures, and their labels if some object has none."""
        labels = list(self.paths)
        gaps = labels if labels != list(range(1, len(labels) + 1)) else []
        return [*(file_digest(path) for path in self.paths.values()), "layers", *gaps]

    def decode(self, size: tuple[int, int]) -> np.ndarray:
        """Take pixels brighter than half as object, because edges are smoothed in some files."""
        labels = np.zeros(size, np.uint8)
        for label, path in self.paths.items():
            which = f"(object {path.parent.name}) " if len(self.paths) > 1 else ""
            try:
                layer = read_rgb(path).max(axis=2)
            except PictureError as error:
                raise PictureError(f"{which}{error}") from error
            if layer.shape != size:
                raise OtherSize(f"{which}is {_size(layer)}, its frame {_size(labels)}")
            labels[layer > 127] = label
        return labels


@dataclass(frozen=True)
class RegionFile:
    """One foreground: pixels brighter than `threshold` times white; in a colour picture, white is background."""

    path: Path
    threshold: float = _REGION_DEFAULT

    @property
    def notes(self) -> tuple[tuple[Path, str], ...]:
        """No notes: every picture is read by the same rule."""
        return ()

    def content(self) -> Any:
        """Return the file's digest and the threshold."""
        return [file_digest(self.path), "regions", self.threshold]

    def decode(self, size: tuple[int, int]) -> np.ndarray:
        """Take the pixels above the threshold as label 1."""
        grey = cv2.cvtColor(read_rgb(self.path), cv2.COLOR_RGB2GRAY) / 255.0
        foreground = grey > self.threshold
        if self.path.suffix.lower() == ".ppm":
            foreground &= grey <= _REGION_WHITE
        return foreground.astype(np.uint8)


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels with its corner at `left`, `top`, rounded to whole pixels.

    As in MoCA's evaluator, a corner beyond the left or top edge is moved to it, and the box keeps its size. At the
    other edges it is cut.
    """

    path: Path  # the table
    left: float
    top: float
    width: float
    height: float

    @property
    def notes(self) -> tuple[tuple[Path, str], ...]:
        """No notes: a table's numbers are read as they are."""
        return ()

    def content(self) -> Any:
        """Return the rectangle, not the digest of the table, which lists other frames too."""
        return [self.left, self.top, self.width, self.height]

    def decode(self, size: tuple[int, int]) -> np.ndarray:
        """Draw the rectangle as label 1."""
        labels = np.zeros(size, np.uint8)
        left, top = max(self.left, 0.0), max(self.top, 0.0)
        rows = slice(round(top), round(top + self.height))
        labels[rows, round(left) : round(left + self.width)] = 1
        return labels


def found(
    annotations: Path,
    clip: str,
    frame_names: Sequence[str],
    data_set: DataSet | None = None,
    background: Background = "black",
) -> dict[str, Truth]:
    """Return a clip's annotations by frame name, without opening a picture.

    An annotation without a frame is returned under its own name.

    Args:
        annotations: folder or table of annotations, as `find_clips` located it.
        clip: name of the clip's folder.
        frame_names: names of the clip's frames, in order.
        data_set: the benchmark that the annotations belong to.
        background: what is behind the objects of annotations in colours, if they are no benchmark's.

    Raises:
        PictureError: if the table of a data set with boxes cannot be read.
        OSError: if the clip's folder is missing or cannot be read.
    """
    if is_table(annotations):
        return dict(read_boxes(annotations).get(safe_name(clip), {}))
    folder = truth_folder(annotations, clip)
    if data_set is not None and data_set.name == "SegTrackv2":
        return _layers(folder)
    if data_set is not None and data_set.name == "FBMS-59" and folder.name == TRUTH_BESIDE:
        return _regions(folder, clip, frame_names)
    colours = data_set.colours if data_set is not None and data_set.multi_object else ()
    files: dict[str, list[Path]] = {}
    for path in _pictures(folder, tuple(FORMATS)):
        files.setdefault(safe_name(path.stem), []).append(path)
    for same in files.values():
        same.sort(key=lambda path: path.suffix.lower() != ".png")
    named = set(frame_names)
    counting = [same[0] for name, same in files.items() if name in named]
    masks = ClipMasks(counting, "black" if data_set else background)
    return {name: MaskFile(first, masks, colours, tuple(rest)) for name, (first, *rest) in files.items()}


def not_read(truth: Truth) -> tuple[Path, ...]:
    """Return the pictures that are passed over because another one is read for their frame."""
    return truth.others if isinstance(truth, MaskFile) else ()


def due(frames: Sequence[str], annotated: Sequence[str], data_set: DataSet | None) -> list[str]:
    """Return the frames that should have an annotation, given the names of those that have one.

    In YouTubeVOS these are every fifth frame from the first annotated frame to the last. FBMS-59 and MoCA annotate
    some frames, without a rule, so nothing is expected of them.
    """
    if data_set is None or data_set.annotated == "every":
        return list(frames)
    if data_set.annotated == "some":
        return []
    numbers = [number for name in annotated if (number := frame_number(name)) is not None]
    if not numbers:
        return []
    span = range(min(numbers), max(numbers) + 1, 5)
    return [name for name in frames if frame_number(name) in span]


def read_boxes(table: Path) -> dict[str, dict[str, Box]]:
    """Return boxes by clip and frame from MoCA's table, in its original form or as commonly filtered.

    Rows without a box are skipped.

    Raises:
        PictureError: if the table or one of its rows cannot be read; names the line.
    """
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PictureError(f"cannot be read ({error})") from error
    header = next((line.split("=", 1)[1] for line in lines if line.startswith("# CSV_HEADER")), "")
    rows = [(number, line) for number, line in enumerate(lines, start=1) if line.strip() and line[0] != "#"]
    if not header and rows:
        header = rows.pop(0)[1]
    columns = [name.strip() for name in header.split(",")]
    if not {"file_list", "spatial_coordinates"} <= set(columns):
        raise PictureError("has no columns file_list and spatial_coordinates")
    boxes: dict[str, dict[str, Box]] = {}
    for number, line in rows:
        row = dict(zip(columns, next(csv.reader([line])), strict=False))
        try:
            shape = json.loads(row["spatial_coordinates"])
            if not shape:
                continue
            _, left, top, width, height = map(float, shape)
            parts = re.sub(r'^\["?|"?\]$', "", row["file_list"]).strip("/").split("/")
            clip, frame = parts[-2], Path(parts[-1]).stem
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise PictureError(f"line {number} holds no box: {line:.80}") from error
        boxes.setdefault(safe_name(clip), {})[safe_name(frame)] = Box(table, left, top, width, height)
    return boxes


def _layers(folder: Path) -> dict[str, Truth]:
    """Return the pictures in the folder itself or, if it has none, those in its numbered folders, by frame name."""
    direct = _pictures(folder, tuple(FORMATS))
    if direct:
        return {safe_name(path.stem): LayerFiles({1: path}) for path in direct}
    folders = sorted(
        (path for path in folder.iterdir() if path.is_dir()), key=lambda path: natural_key(path.name)
    )
    objects = [pictures for path in folders if (pictures := _pictures(path, tuple(FORMATS)))]
    layers: dict[str, dict[int, Path]] = {}
    for label, pictures in enumerate(objects, start=1):
        for path in pictures:
            layers.setdefault(safe_name(path.stem), {}).setdefault(label, path)
    return {frame: LayerFiles(paths) for frame, paths in layers.items()}


def _regions(folder: Path, clip: str, frame_names: Sequence[str]) -> dict[str, Truth]:
    """Match frames and annotations by number, because their names differ in padding. Prefer colour over grey."""
    pictures = [path for path in _pictures(folder, (".ppm", ".pgm", ".png")) if "PROB" not in path.name]
    for suffix in (".ppm", ".pgm", ".png"):
        if chosen := [path for path in pictures if path.suffix.lower() == suffix]:
            break
    else:
        chosen = []
    frames = {frame_number(name): name for name in reversed(frame_names)}
    threshold = _REGION_THRESHOLD.get(clip, _REGION_DEFAULT)
    regions: dict[str, Truth] = {}
    for path in chosen:
        stem = re.sub("_gt$", "", path.stem)
        regions[frames.get(frame_number(stem), safe_name(stem))] = RegionFile(path, threshold)
    return regions


def _pictures(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    paths = [path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.name[0] != "."]
    return sorted(paths, key=lambda path: natural_key(path.stem))


def _size(labels: np.ndarray) -> str:
    return f"{labels.shape[1]}x{labels.shape[0]}"
