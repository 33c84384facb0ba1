"""Synthetic copies of the benchmarks, a few clips of a few frames, in the layouts of their downloads.

Squares move over a gradient; every square is an object. The copies have the peculiarities of the originals: one file
per object in SegTrackv2, two kinds of ground truth in FBMS-59, frames between the annotated ones in YouTubeVOS.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from motion_adapt.storage.datasets.catalogue import YTVOS_COLOURS, data_sets
from motion_adapt.storage.formats.label_rules import davis_palette

SIZE = 40, 64
FRAMES = 8


def labels_of(index: int, objects: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """u8 (H, W): object k is a square of 6 pixels in the k-th column, two pixels lower in every frame."""
    labels = np.zeros(size, np.uint8)
    for label in range(1, objects + 1):
        top, left = 2 + 2 * index, 4 + 10 * (label - 1)
        labels[top : top + 6, left : left + 6] = label
    return labels


def frame_of(labels: np.ndarray) -> np.ndarray:
    """u8 (H, W, 3): a gradient with bright squares where the labels are."""
    height, width = labels.shape
    frame = np.zeros((height, width, 3), np.uint8)
    frame[..., 0] = np.linspace(0, 160, width, dtype=np.uint8)
    frame[..., 1] = np.linspace(0, 160, height, dtype=np.uint8)[:, None]
    frame[labels > 0] = 255
    return frame


def save(path: Path, array: np.ndarray, palette: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if palette is not None:
        image.putpalette(palette.astype(np.uint8).tobytes())
    image.save(path)


def white(labels: np.ndarray) -> np.ndarray:
    """Grey {0, 255}: any object."""
    return ((labels > 0) * 255).astype(np.uint8)


def davis2016(root: Path) -> None:
    for clip, objects in (("dog", 1), ("blackswan", 1), ("bear", 1)):
        for index in range(FRAMES):
            labels = labels_of(index, objects)
            save(root / "JPEGImages" / "480p" / clip / f"{index:05d}.jpg", frame_of(labels))
            save(root / "Annotations" / "480p" / clip / f"{index:05d}.png", white(labels))


def davis2017(root: Path) -> None:
    """Write more objects than the networks have slots; the older masks next to the curated ones are empty."""
    for clip, objects in (("gold-fish", 5), ("judo", 2)):
        for index in range(FRAMES):
            labels = labels_of(index, objects)
            save(root / "JPEGImages" / "480p" / clip / f"{index:05d}.jpg", frame_of(labels))
            name = f"{index:05d}.png"
            save(root / "Annotations_unsupervised" / "480p" / clip / name, labels, davis_palette())
            save(root / "Annotations" / "480p" / clip / name, 0 * labels, davis_palette())


def ytvos(root: Path) -> None:
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(YTVOS_COLOURS)] = YTVOS_COLOURS
    for clip, objects in (("0a275e7f12", 2), ("f00df00df0", 1), ("02264db755", 1)):
        for index in range(FRAMES + 3):
            labels = labels_of(index, objects)
            save(root / "train_all_frames" / "JPEGImages" / clip / f"{index:05d}.jpg", frame_of(labels))
            if index % 5 == 0:
                save(root / "train" / "Annotations" / clip / f"{index:05d}.png", labels, palette)


def segtrack(root: Path) -> None:
    """Write clips with different sizes, suffixes and numbering; bmx's two objects have a folder each."""
    for clip, objects, size in (("birdfall", 1, SIZE), ("bmx", 2, (48, 72))):
        for index in range(FRAMES):
            labels, stem = labels_of(index, objects, size), f"{clip}_{index + 18:05d}"
            save(root / "JPEGImages" / clip / f"{stem}.{'bmp' if objects == 2 else 'png'}", frame_of(labels))
            for label in range(1, objects + 1):
                folder = root / "GroundTruth" / clip / (str(label) if objects > 1 else "")
                layer = np.repeat(white(labels == label)[..., None], 3, axis=2)
                save(folder / f"{stem}.{'png' if label == 1 else 'bmp'}", layer)


def fbms(root: Path) -> None:
    """Write camel01 with colours on white, next to unrelated pictures, and tennis with greys and other numbering."""
    for index in range(FRAMES):
        labels = labels_of(index, 2)
        save(root / "Testset" / "camel01" / f"camel01_{index + 1:04d}.jpg", frame_of(labels))
        save(root / "Testset" / "tennis" / f"tennis{index + 1:03d}.jpg", frame_of(labels))
        save(root / "Trainingset" / "bear01" / f"bear01_{index + 1:04d}.jpg", frame_of(labels))
        if index % 5 == 0:
            colours = np.full((*SIZE, 3), 255, np.uint8)
            colours[labels == 1], colours[labels == 2] = (255, 0, 0), (0, 0, 255)
            truth = root / "Testset" / "camel01" / "GroundTruth"
            save(truth / f"camel01_{index + 1:04d}_gt.ppm", colours)
            save(truth / f"camel01_{index + 1:04d}PROB_gt.ppm", 0 * colours)
            save(truth / f"camel01_{index + 1:04d}_gt.pgm", 0 * labels)
            save(root / "Testset" / "tennis" / "GroundTruth" / f"tennis{index + 1:02d}.pgm", labels * 100)
            save(
                root / "Trainingset" / "bear01" / "GroundTruth" / f"bear01_{index + 1:04d}.pgm", labels * 100
            )
    (root / "Testset" / "camel01" / "GroundTruth" / "camel01Def.dat").write_text("no picture")


def moca(root: Path) -> None:
    """Write boxes for every other frame, in the table's filtered form."""
    rows = [",file_list,spatial_coordinates,metadata"]
    for clip in ("crab", "seal_1"):
        for index in range(FRAMES):
            save(root / "JPEGImages" / clip / f"{index:05d}.jpg", frame_of(labels_of(index, 1)))
            box = f'"[2,4,{2 + 2 * index},6,6]"' if index % 2 == 0 else "[]"
            rows.append(f"{len(rows) - 1},/{clip}/{index:05d}.jpg,{box},{{'1': '0'}}")
    (root / "annotations.csv").write_text("\n".join(rows) + "\n")


MAKERS: dict[str, Callable[[Path], None]] = {
    "DAVIS2016": davis2016,
    "DAVIS2017-motion": davis2017,
    "YouTubeVOS2018-motion": ytvos,
    "SegTrackv2": segtrack,
    "FBMS-59": fbms,
    "MoCA": moca,
}
# The evaluated clips of each copy, and the number of annotated frames in each.
EVALUATED = {
    "DAVIS2016": {"blackswan": 8, "dog": 8},
    "DAVIS2017-motion": {"gold-fish": 8, "judo": 8},
    "YouTubeVOS2018-motion": {"02264db755": 3, "0a275e7f12": 3},
    "SegTrackv2": {"birdfall": 8, "bmx": 8},
    "FBMS-59": {"camel01": 2, "tennis": 2},
    "MoCA": {"crab": 4, "seal_1": 4},
}


def make(name: str, root: Path) -> Path:
    """Write the copy of a benchmark to `root`."""
    MAKERS[name](root)
    return root


if set(MAKERS) != set(data_sets()):
    raise ValueError(f"no copy of {set(data_sets()) - set(MAKERS)}")
