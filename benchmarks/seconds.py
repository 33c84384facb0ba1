"""Measure what `motion-adapt segment` costs on one 480p clip: seconds and bytes per frame, by stage, and the start-up.

    python benchmarks/seconds.py [--clip FOLDER] [--frames 48] [--set FIELD=VALUE ...]

Without --clip, a synthetic clip of 480 x 854 is written as JPEGs. The whole command runs in a process of its own, with
one worker and one thread, and a second time to find everything in the store. CPU seconds are those of the whole
process during a stage, the store's own work included; other work on the machine has little effect on them.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
from PIL import Image

from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.storage.artifacts.manifest import Manifest
from motion_adapt.storage.artifacts.store import ArtifactStore

SIZE = 480, 854  # height and width of the frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, help="a folder of frames or a video")
    parser.add_argument("--frames", type=int, default=48, help="of the synthetic clip")
    parser.add_argument("--set", action="append", default=[], help="a setting of the run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        clip = arguments.clip.resolve() if arguments.clip else write_clip(home / "clip", arguments.frames)
        first = segment(home, clip, arguments.set)
        again = segment(home, clip, arguments.set)
        manifests = list(ArtifactStore(home / "store").manifests())
        report(clip, manifests, first, again)


def write_clip(folder: Path, frames: int) -> Path:
    """Write the frames of a synthetic clip as JPEGs."""
    folder.mkdir()
    for index, frame in enumerate(SyntheticClips(seed=1, frames=frames).make(0).rgb):
        picture = cv2.resize(frame, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        Image.fromarray(picture).save(folder / f"{index:05d}.jpg", quality=90)
    return folder


def segment(home: Path, clip: Path, overrides: list[str]) -> tuple[float, float]:
    """Run the command; return (seconds, CPU seconds of it and of the server that it starts)."""
    command = [
        sys.executable,
        "-c",
        "from motion_adapt.flows.cli.app import main; main()",
        "segment",
        str(clip),
    ]
    command += ["--store", "store", "--output", "out", "--workers", "1", "--threads", "1"]
    command += [part for override in overrides for part in ("--set", override)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=home, check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(
    clip: Path, manifests: list[Manifest], first: tuple[float, float], again: tuple[float, float]
) -> None:
    frames = next(item.summary["frames"] for item in manifests if item.stage == "frames")
    files = [clip] if clip.is_file() else list(clip.iterdir())
    source = sum(path.stat().st_size for path in files) / frames
    machine, load = platform.processor() or platform.machine(), os.getloadavg()[0]
    print(
        f"{machine}, {os.cpu_count()} cores, load {load:.1f}, {time.strftime('%Y-%m-%d')}; {frames} frames\n"
    )
    print("| stage | CPU ms/frame | KB/frame |")
    print("|---|---|---|")
    cpu_total = size_total = 0.0
    for stage in dict.fromkeys(item.stage for item in sorted(manifests, key=lambda item: item.made["at"])):
        made = [item for item in manifests if item.stage == stage]
        cpu = sum(item.made["process_seconds"] for item in made) / frames
        size = sum(entry.size for item in made for entry in item.files.values()) / frames
        print(f"| {stage} | {1e3 * cpu:.0f} | {size / 1e3:.1f} |")
        if stage != "weights":
            cpu_total, size_total = cpu_total + cpu, size_total + size
    print(f"| all but weights | {1e3 * cpu_total:.0f} | {size_total / 1e3:.1f} |")
    print(f"\nThe source has {source / 1e3:.1f} KB per frame.\n")
    print("| run | seconds | CPU s |")
    print("|---|---|---|")
    print(f"| first | {first[0]:.1f} | {first[1]:.1f} |")
    print(f"| everything in the store | {again[0]:.1f} | {again[1]:.1f} |")


if __name__ == "__main__":
    main()
