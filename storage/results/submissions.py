"""Write masks in the folders and colours that each benchmark's evaluator expects, at frame size, or as COCO JSON.

    DAVIS2016               Results/Segmentations/480p/motion-adapt/<clip>/<frame>.png   white on black
    DAVIS2017-motion        <clip>/<frame>.png                                           DAVIS palette
    YouTubeVOS2018-motion   Annotations/<clip>/<frame>.png, every fifth frame            YouTubeVOS palette
    SegTrackv2, FBMS-59     <clip>/<frame>.png                                           white on black
    MoCA                    <clip>/gap1/<index>.png                                      white on black

Reads masks as a run writes them: <folder>/<clip>/<frame>.png, indexed.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools.mask import area, encode, toBbox

from motion_adapt.storage.atomic import whole_file, whole_folder
from motion_adapt.storage.clips.find_clips import Clip, find_clips
from motion_adapt.storage.datasets.catalogue import DataSet
from motion_adapt.storage.formats.images import PictureError, open_picture
from motion_adapt.storage.formats.label_maps import ClipMasks
from motion_adapt.storage.formats.label_rules import MAX_OBJECTS, VOID, davis_palette
from motion_adapt.storage.formats.masks import mask_files, masks_folder, read_masks
from motion_adapt.storage.names import frame_number, printable

METHOD = "motion-adapt"
_FOLDERS = {
    "DAVIS2016": f"Results/Segmentations/480p/{METHOD}/{{clip}}",
    "YouTubeVOS2018-motion": "Annotations/{clip}",
    "MoCA": "{clip}/gap1",
}


@dataclass(frozen=True)
class Submission:
    """The clips that were written, those that a complete submission also needs, and notes on how masks were read."""

    place: Path
    clips: tuple[str, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...] = ()


def write_submission(masks: Path, out: Path, known: DataSet, *, source: Path | None = None) -> Submission:
    """Write the masks of a benchmark's evaluated clips as its evaluator reads them; each clip whole or not at all.

    Args:
        masks: folder of masks, as a run writes it, or of a run's results.
        out: folder to write to.
        known: the benchmark.
        source: the benchmark's folder; if given, every frame must have a mask of its size.

    Raises:
        ValueError: if no clip of the benchmark is among the masks, or if a mask is damaged, missing or of another
            size than its frame; names the file.
    """
    masks = masks_folder(masks)
    clips = [clip for clip in find_clips(masks).clips if clip.name in set(known.evaluated)]
    if not clips:
        raise ValueError(f"{printable(masks)} has no masks of any clip of {known.name} {known.split}")
    frames, notes = _frames_of(source, known), list[str]()
    for clip in clips:
        names = _checked(clip, frames)
        notes += _notes(clip, names)
        place = out / _FOLDERS.get(known.name, "{clip}").format(clip=clip.name)
        with whole_folder(place) as partial:
            for index, name, labels in _maps(clip, names):
                if known.annotated == "fifth" and (frame_number(name) or 0) % 5:
                    continue
                stem = f"{index:05d}" if known.protocol == "boxes" else name
                _picture(labels, known, clip.name, name).save(partial / f"{stem}.png")
    there = tuple(clip.name for clip in clips)
    return Submission(out, there, tuple(name for name in known.evaluated if name not in there), tuple(notes))


def write_coco(
    masks: Path, out: Path, *, source: Path | None = None, dataset: str | None = None
) -> Submission:
    """Write all masks as one COCO JSON: images, and one annotation per object with its compact run-length code.

    An image's `video_id` and `frame_index` and an annotation's `track_id` link the frames and masks of a video.

    Args:
        masks: folder of masks, as a run writes it, or of a run's results.
        out: JSON file to write.
        source: the clips, as in `find_clips`; if given, images have the frames' file names, and every frame must have
            a mask of its size.
        dataset: the benchmark's name, as in `find_clips`.

    Raises:
        ValueError: if there are no masks, or if one is damaged, missing or of another size than its frame.
    """
    masks = masks_folder(masks)
    clips = find_clips(masks).clips
    frames = {} if source is None else {clip.name: clip for clip in find_clips(source, dataset=dataset).clips}
    told: dict[str, list[Any]] = {
        "videos": [],
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "moving object"}],
    }
    notes = list[str]()
    for clip in clips:
        names = _checked(clip, frames)
        notes += _notes(clip, names)
        video = {"id": len(told["videos"]) + 1, "name": clip.name}
        told["videos"].append(video)
        files = {name: f"{name}.jpg" for name in names}
        if clip.name in frames and frames[clip.name].kind == "frames":
            own = frames[clip.name]
            files = dict(zip(own.frame_names(len(own.files)), (file.name for file in own.files), strict=True))
        for index, name, labels in _maps(clip, names):
            height, width = labels.shape
            image = {"id": len(told["images"]) + 1, "video_id": video["id"], "frame_index": index}
            file_name = f"{clip.name}/{files[name]}"
            told["images"].append({**image, "file_name": file_name, "height": height, "width": width})
            for label in np.unique(labels[(labels > 0) & (labels != VOID)]).tolist():
                entry = {"id": len(told["annotations"]) + 1, "image_id": image["id"], "track_id": label}
                told["annotations"].append({**entry, **_coco_object(labels == label)})
    if not told["images"]:
        raise ValueError(f"{printable(masks)} has no masks")
    with whole_file(out) as partial:
        partial.write_text(json.dumps(told) + "\n", encoding="utf-8")
    return Submission(out, tuple(clip.name for clip in clips), (), tuple(notes))


def _coco_object(mask: np.ndarray) -> dict[str, Any]:
    """Return category, code, area and box (left, top, width, height) of a non-empty bool (H, W) mask."""
    code = encode(np.asfortranarray(mask, dtype=np.uint8))
    return {
        "category_id": 1,
        "iscrowd": 0,
        "area": int(area(code)),
        "bbox": [int(side) for side in toBbox(code)],
        "segmentation": {"size": list(mask.shape), "counts": code["counts"].decode("ascii")},
    }


def _frames_of(source: Path | None, known: DataSet) -> dict[str, Clip]:
    return (
        {} if source is None else {clip.name: clip for clip in find_clips(source, dataset=known.name).clips}
    )


def _checked(clip: Clip, frames: dict[str, Clip]) -> tuple[str, ...]:
    """Return the names of a clip's masks, in order. If its frames are known, check that each has a mask of its size.

    Raises:
        ValueError: if a mask is missing, damaged or of another size; names it.
    """
    names = clip.frame_names(len(clip.files))
    own = frames.get(clip.name)
    if own is None or own.kind == "video":
        return names
    wanted = own.frame_names(len(own.files))
    for name, file in zip(wanted, own.files, strict=True):
        path = clip.path / f"{name}.png"
        try:
            mask, frame = open_picture(path).size, open_picture(file).size
        except PictureError as error:
            raise ValueError(f"{printable(path)} or its frame {error}") from error
        if mask != frame:
            raise ValueError(f"{printable(path)} is {mask[0]}x{mask[1]}, its frame is {frame[0]}x{frame[1]}")
    return wanted


def _masks(clip: Clip, names: Sequence[str]) -> ClipMasks:
    return ClipMasks(mask_files(clip.path.parent, clip.path.name, names))


def _notes(clip: Clip, names: Sequence[str]) -> list[str]:
    return [
        f"masks of {clip.name}: {printable(path.name)} {text}" for path, text in _masks(clip, names).notes
    ]


def _maps(clip: Clip, names: Sequence[str]) -> Iterator[tuple[int, str, np.ndarray]]:
    maps = read_masks(_masks(clip, names))
    return ((index, name, labels) for index, (name, labels) in enumerate(zip(names, maps, strict=True)))


def _picture(labels: np.ndarray, known: DataSet, clip: str, frame: str) -> Image.Image:
    """Return labels as an indexed picture in the benchmark's colours; for one foreground, as grey {0, 255}."""
    if not known.multi_object:
        return Image.fromarray(((labels > 0) * 255).astype(np.uint8))
    if labels.max() > MAX_OBJECTS:
        raise ValueError(f"{clip}, {frame}: wanted object ids up to {MAX_OBJECTS}, got {labels.max()}")
    palette = davis_palette().copy()
    palette[: len(known.colours)] = known.colours
    image = Image.fromarray(labels)
    image.putpalette(palette.tobytes())
    return image
