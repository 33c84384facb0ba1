"""Measure what masks by hand gain: J of `segment` with none, one and three of them for each clip.

    python benchmarks/masks_by_hand.py DAVIS --out DIR [--counts 1 3] [--clips dog goat]

The frames are those that a run without masks by hand lists as doubtful, and their annotations stand for a person's
masks: the results are not label-free. The object in a mask has the number that most of it has in the run's own mask, as
a person would keep it. Given frames count with their J of 100; `without` leaves them out of both means.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

import motion_adapt
from motion_adapt.flows.reports.run_report import Report


def annotation(data: Path, clip: str, frame: str) -> np.ndarray:
    """Return the annotated foreground of a frame, bool (H, W)."""
    with Image.open(data / "Annotations" / "480p" / clip / f"{frame}.png") as image:
        return np.array(image.convert("L")) > 0


def paint(data: Path, report: Report, count: int, folder: Path) -> dict[str, list[str]]:
    """Write the annotations of each clip's first `count` doubtful frames to `folder`; returns the frames by clip.

    Masks of an earlier call are removed.
    """
    if folder.exists():
        shutil.rmtree(folder)
    given: dict[str, list[str]] = {}
    for item in report.doubtful:
        clip, frame = item["clip"], item["frame"]
        if len(given.setdefault(clip, [])) == count:
            continue
        truth = annotation(data, clip, frame)
        with Image.open(Path(report.output) / item["mask"]) as image:
            found = np.bincount(np.array(image)[truth], minlength=2)[1:]
        number = 1 + int(found.argmax()) if truth.any() else 0
        path = folder / clip / f"{frame}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((truth * number).astype(np.uint8)).save(path)
        given[clip].append(frame)
    return given


def frame_score(data: Path, output: Path, clip: str, frame: str) -> float:
    """Return J `union` of one frame, in percent."""
    truth = annotation(data, clip, frame)
    with Image.open(output / "masks" / clip / f"{frame}.png") as image:
        mask = np.array(image) > 0
    union = (mask | truth).sum()
    return 100 * float((mask & truth).sum() / union) if union else 100.0


def score(data: Path, output: Path, clip: str, given: list[str]) -> tuple[float, float]:
    """Return J `union` of a clip in percent: over all frames but the first and the last, and of those not `given`.

    Raises:
        SystemExit: no frame remains.
    """
    frames = sorted(file.stem for file in (output / "masks" / clip).glob("*.png"))[1:-1]
    values = {frame: frame_score(data, output, clip, frame) for frame in frames}
    if not set(frames) - set(given):
        raise SystemExit(
            f"{clip}: no frame to score without the first, the last and {len(given)} given ones; choose longer clips "
            "by --clips, or smaller --counts"
        )
    rest = [value for frame, value in values.items() if frame not in given]
    return float(np.mean(list(values.values()))), float(np.mean(rest))


def main() -> None:
    """Run `segment` with every number of masks, and print a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="a data set in the layout of DAVIS 2016")
    parser.add_argument("--out", type=Path, required=True, help="folder for masks and exemplars")
    parser.add_argument("--store", type=Path, default=Path("motion-adapt/store"))
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--clips", nargs="+", help="default: all")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()

    def run(name: str, settings: dict[str, object]) -> Report:
        return motion_adapt.segment(
            given.data, output=given.out / name, settings=settings, clips=given.clips, store=given.store,
            threads=given.threads,
        ).report  # fmt: skip

    report = run("0", {})
    frames: dict[int, dict[str, list[str]]] = {0: {}}
    for count in given.counts:
        folder = given.out / f"exemplars-{count}"
        frames[count] = paint(given.data, report, count, folder)
        run(str(count), {"selection.given": str(folder)})
    print("| clip |" + "".join(f" {count} by hand | without |" for count in frames) + " J of the first |")
    print("|---|" + "---|" * (2 * len(frames) + 1))
    rows: list[list[float]] = []
    for clip in report.clips:
        row: list[float] = []
        for count, by_clip in frames.items():
            row += score(given.data, given.out / str(count), clip, by_clip.get(clip, []))
        listed = next((item["frame"] for item in report.doubtful if item["clip"] == clip), None)
        first = frame_score(given.data, given.out / "0", clip, listed) if listed else float("nan")
        rows.append([*row, first])
        print(f"| {clip} | " + " | ".join(f"{value:.1f}" for value in rows[-1]) + " |")
    print("| mean | " + " | ".join(f"{value:.1f}" for value in np.nanmean(rows, axis=0)) + " |")


if __name__ == "__main__":
    main()
