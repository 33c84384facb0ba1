"""Measure the peak memory of `motion-adapt segment` on short and long videos: it should not grow with the length.

    python benchmarks/memory.py [--weights DIR] [--frames 50 500]

Each length runs in a separate process, from frames on disk to masks, overlay and strip. The short video is a part of
the long one. Without --weights, the compact networks are created by two training steps; this changes neither their size
nor their cost.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import torch
from PIL import Image

from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips

SIZE = 480, 854  # height and width of the frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, help="folder with compact checkpoints")
    parser.add_argument("--frames", type=int, nargs="+", default=[50, 500])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        weights = arguments.weights or make_weights(Path(home))
        clips = write_clips(Path(home), arguments.frames)
        rows = [measure(Path(home), clip, weights.resolve()) for clip in clips]
    machine = platform.processor() or platform.machine()
    print(f"\n{machine}, {os.cpu_count()} cores, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}\n")
    print("| frames | peak memory, MB | against the shortest | seconds | seconds per frame |")
    print("| --- | --- | --- | --- | --- |")
    shortest = rows[arguments.frames.index(min(arguments.frames))]["peak_memory_mb"]
    for frames, report in zip(arguments.frames, rows, strict=True):
        memory, seconds = report["peak_memory_mb"], report["seconds"]["total"]
        ratio = memory / shortest
        print(f"| {frames} | {memory:.0f} | {ratio:.2f} | {seconds:.0f} | {seconds / frames:.2f} |")


def make_weights(home: Path) -> Path:
    """Create the compact networks by two training steps."""
    run(home, "pretrain", "--out", "weights", "--steps", "2")
    return home / "weights"


def write_clips(home: Path, lengths: list[int]) -> list[Path]:
    """Write folders of JPEG frames: the first frames of one long synthetic clip."""
    clip = SyntheticClips(seed=1, frames=max(lengths)).make(0)
    folders = [home / f"frames-{length}" for length in lengths]
    for length, folder in zip(lengths, folders, strict=True):
        folder.mkdir()
        for index, frame in enumerate(clip.rgb[:length]):
            picture = cv2.resize(frame, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
            Image.fromarray(picture).save(folder / f"{index:05d}.jpg")
    return folders


def measure(home: Path, clip: Path, weights: Path) -> dict:
    """Segment a clip with its own store, and return the run's report."""
    run(
        home,
        "segment",
        str(clip),
        "--weights",
        str(weights),
        "--store",
        f"store-{clip.name}",
        "--json",
        "report.json",
    )
    report: dict = json.loads((home / "report.json").read_text())
    return report


def run(home: Path, *arguments: str) -> None:
    """Run `motion-adapt` in the folder `home`."""
    command = [sys.executable, "-c", "from motion_adapt.flows.cli.app import main; main()", *arguments]
    subprocess.run(command, cwd=home, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
