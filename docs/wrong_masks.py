"""Write docs/how-to/wrong-masks.png: a generated clip before and after one mask by hand.

python docs/wrong_masks.py

The clip is segmented twice with the weights that ship, as `motion-adapt segment` does. In between, the frame that the
first run lists first in doubtful.csv gets its true mask, as a person would paint it.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.optimize import linear_sum_assignment

import motion_adapt
from motion_adapt.models.inputs.imaging import labels_from_masks
from motion_adapt.models.synthetic.synthetic_clips import SyntheticClips
from motion_adapt.storage.formats.masks import write_masks
from motion_adapt.storage.results.overlays import overlay

PICTURE = Path(__file__).resolve().parent / "how-to" / "wrong-masks.png"
SEED, NUMBER, FRAMES, SIZE = 11, 4, 10, (144, 256)  # a clip on which the method goes wrong
APART = 3  # frames between two columns of the picture
TEXT, GAP = 22, 4  # pixels
COLOURS = 200  # of the PNG
CLIP = "generated"


def renumbered(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return true labels u8 (H, W) under the numbers of the found objects that overlap most with them."""
    shared = np.array([[((truth == a) & (found == b)).sum() for b in range(1, 4)] for a in range(1, 4)])
    numbers = np.zeros(256, np.uint8)
    for a, b in zip(*linear_sum_assignment(-shared), strict=True):
        numbers[a + 1] = b + 1
    return numbers[truth]


def jaccard(truth: np.ndarray, found: np.ndarray) -> float:
    """Return the mean J of all frames, of all objects as one foreground."""
    one, other = truth > 0, found > 0
    return float(np.mean((one & other).sum((1, 2)) / (one | other).sum((1, 2))))


def main() -> None:
    """Segment, give one mask, segment again, and draw both."""
    clip = SyntheticClips(seed=SEED, frames=FRAMES, size=SIZE).make(NUMBER)
    truth = labels_from_masks(clip.modal)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        frames = folder / "clips" / CLIP
        frames.mkdir(parents=True)
        for index, frame in enumerate(clip.rgb):
            Image.fromarray(frame).save(frames / f"{index:05d}.png")

        def segment(**settings: str) -> motion_adapt.Segmentation:
            return motion_adapt.segment(
                frames.parent, output=folder / "results", store=folder / "store", settings=settings, threads=1
            )

        first = segment()
        before = np.asarray(first.masks[CLIP][:])
        name = str(first.report.doubtful[0]["frame"])
        painted = renumbered(truth[int(name)], before[int(name)])
        write_masks(folder / "exemplars", CLIP, [name], [painted])
        after = np.asarray(segment(**{"selection.given": str(folder / "exemplars")}).masks[CLIP][:])
    if not (after[int(name)] == painted).all():
        raise SystemExit("the mask by hand did not come out as it was given")
    draw(clip.rgb, before, after, int(name))
    others = np.arange(FRAMES) != int(name)
    told = [100 * jaccard(truth[others], found[others]) for found in (before, after)]
    print(f"frame {name} by hand; J of the others: {told[0]:.1f} before, {told[1]:.1f} after")


def draw(frames: np.ndarray, before: np.ndarray, after: np.ndarray, painted: int) -> None:
    """Write the picture: before above, after below; the painted frame in the middle."""
    columns = [max(painted - APART, 0), painted, min(painted + APART, FRAMES - 1)]
    height, width = SIZE
    page = Image.new("RGB", (3 * width + 2 * GAP, 2 * (height + TEXT)), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for row, found in enumerate((before, after)):
        for column, index in enumerate(columns):
            corner = column * (width + GAP), row * (height + TEXT)
            what = "found" if not row else "painted" if index == painted else "mended"
            pen.text((corner[0] + 2, corner[1] + 2), f"frame {index}: {what}", fill="black", font=font)
            page.paste(
                Image.fromarray(overlay(frames[index], found[index], opacity=0.7)),
                (corner[0], corner[1] + TEXT),
            )
    page.quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
